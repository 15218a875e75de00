import { Alert, Badge, Button, Checkbox, Group, Modal, NumberInput, Select, Stack, Text } from '@mantine/core';
import { useMemo, useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { CodeEditor } from '../../kit/CodeEditor';
import { useAct } from '../../kit/data';
import { dictionary } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { JsonView } from '../../kit/JsonView';
import { ListPage, type Column } from '../../kit/ListPage';
import { useModel } from '../../kit/model';
import { useParam } from '../../kit/params';
import { useRefresh } from '../../kit/refresh';
import { blank, faultsIn, parametersSchema, toWire, type Schema, type ThingCommand } from '../../kit/schema';
import { SchemaForm } from '../../kit/SchemaForm';
import { eventsPath } from '../../kit/stream';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';

const words = dictionary({
  en: {
    call: 'Call a command',
    command: 'Command',
    status: 'State',
    when: 'When',
    took: 'Took',
    caller: 'By',
    input: 'Input',
    output: 'Answer',
    all: 'All',
    none: 'No commands were called yet',
    send: 'Call',
    wait: 'Wait for the answer',
    seconds: 'Time for the answer',
    queue: 'Wait for a device that is away, minutes',
    queueHint: '0: the device must be there',
    answered: 'The device has answered',
    pending: 'It is on its way; its state is in the list',
    failed: (code: number) => `It failed with ${code}`,
    cancel: 'Take back',
    cancelled: 'It is taken back',
    noModel: 'The product’s thing model has no commands',
    ms: (n: number) => `${n} ms`,
    queued: 'waits',
    sent: 'sent',
    succeeded: 'succeeded',
    failedState: 'failed',
    expired: 'expired',
    cancelledState: 'cancelled',
    late: 'late',
    inputJSON: 'Input as JSON',
  },
  zh: {
    call: '调用命令',
    command: '命令',
    status: '状态',
    when: '时间',
    took: '耗时',
    caller: '调用者',
    input: '输入',
    output: '应答',
    all: '全部',
    none: '还没有调用过命令',
    send: '调用',
    wait: '等待应答',
    seconds: '应答时限',
    queue: '设备离线时等待(分钟)',
    queueHint: '0:设备必须在线',
    answered: '设备已应答',
    pending: '已发出,状态见列表',
    failed: (code: number) => `失败,代码 ${code}`,
    cancel: '撤回',
    cancelled: '已撤回',
    noModel: '产品物模型中没有命令',
    ms: (n: number) => `${n} 毫秒`,
    queued: '等待中',
    sent: '已发送',
    succeeded: '成功',
    failedState: '失败',
    expired: '已过期',
    cancelledState: '已撤回',
    late: '迟到',
    inputJSON: 'JSON 输入',
  },
});

type Device = Schemas['Device'];
type Record = Schemas['CommandRecord'];
type Status = Record['status'];

const colours: { [s in Status]: string } = { queued: 'yellow', sent: 'blue', succeeded: 'green', failed: 'red', expired: 'orange', cancelled: 'gray' };
const statuses = Object.keys(colours) as Status[];

function useStatusName() {
  const t = words.use();
  return (s: Status) => (s === 'failed' ? t.failedState : s === 'cancelled' ? t.cancelledState : t[s]);
}

export default function Commands({ device }: { device: Device }) {
  const t = words.use();
  const { may } = useSession();
  const { productSN, deviceSN } = device;
  const model = useModel(productSN);
  const nameOf = useStatusName();
  const [status, setStatus] = useParam('status');
  const [calling, setCalling] = useState(false);
  const key = ['commands', productSN, deviceSN];
  useRefresh(eventsPath({ product: productSN, device: deviceSN, types: ['command'] }), [key]);
  const control = may('device.control', productSN);
  const columns: Column<Record>[] = [
    { id: 'command', title: t.command, cell: (c) => model.Command.find((m) => m.Identifier === c.identifier)?.Name || c.identifier, csv: (c) => c.identifier },
    { id: 'status', title: t.status, cell: (c) => <State record={c} name={nameOf(c.status)} />, csv: (c) => c.status },
    { id: 'when', title: t.when, cell: (c) => <Time at={c.createdAt} />, csv: (c) => c.createdAt },
    { id: 'input', title: t.input, cell: (c) => <JsonView value={c.input ?? {}} open={0} />, csv: (c) => c.input },
    { id: 'output', title: t.output, cell: (c) => (c.output ? <JsonView value={c.output} open={1} /> : c.message), csv: (c) => c.output ?? c.message },
    { id: 'took', title: t.took, cell: (c) => c.durationMs !== undefined && t.ms(c.durationMs), csv: (c) => c.durationMs },
    { id: 'caller', title: t.caller, hidden: true, cell: (c) => c.caller, csv: (c) => c.caller },
    { id: 'cancel', title: '', cell: (c) => control && c.status === 'queued' && <Cancel device={device} record={c} /> },
  ];
  return (
    <>
      <ListPage<Record>
        name="commands"
        about={[productSN, deviceSN, status]}
        columns={columns}
        rowKey={(c) => c.id}
        empty={t.none}
        facets={
          <>
            <Select label={t.status} placeholder={t.all} clearable data={statuses.map((s) => ({ value: s, label: nameOf(s) }))} value={status || null} onChange={(v) => setStatus(v ?? '')} />
            {control && (
              <Button leftSection={<Icon name="play" size={16} />} onClick={() => setCalling(true)}>
                {t.call}
              </Button>
            )}
          </>
        }
        load={({ cursor, limit, signal }) =>
          take(
            api.GET('/v1/products/{productSN}/devices/{deviceSN}/commands', {
              params: { path: { productSN, deviceSN }, query: { cursor: cursor || undefined, limit, status: (status || undefined) as Status | undefined } },
              signal,
            }),
          )
        }
      />
      {calling && <Call device={device} commands={model.Command} onClose={() => setCalling(false)} />}
    </>
  );
}

function State({ record, name }: { record: Record; name: string }) {
  const t = words.use();
  return (
    <Badge variant="light" color={colours[record.status]} className="badge" data-status={record.status}>
      {name}
      {record.retCode !== 0 && ` ${record.retCode}`}
      {record.late && ` · ${t.late}`}
    </Badge>
  );
}

function Cancel({ device, record }: { device: Device; record: Record }) {
  const t = words.use();
  const path = { productSN: device.productSN, deviceSN: device.deviceSN, requestID: record.requestID };
  const cancel = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/commands/{requestID}/cancel', { params: { path } })), {
    keys: [['commands', device.productSN, device.deviceSN]],
    done: t.cancelled,
  });
  return (
    <Button size="compact-sm" variant="default" loading={cancel.isPending} onClick={() => cancel.mutate(undefined)}>
      {t.cancel}
    </Button>
  );
}

function Call({ device, commands, onClose }: { device: Device; commands: ThingCommand[]; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [chosen, setChosen] = useState(commands[0]?.Identifier ?? '');
  const command = commands.find((c) => c.Identifier === chosen);
  const schema = useMemo(() => parametersSchema(command?.Input ?? []), [command]);
  return (
    <Modal opened onClose={onClose} title={t.call} closeButtonProps={{ 'aria-label': kit.close }} size="lg">
      <Stack>
        {commands.length === 0 ? (
          <Text>{t.noModel}</Text>
        ) : (
          <Select
            label={t.command}
            data={commands.map((c) => ({ value: c.Identifier, label: c.Name || c.Identifier }))}
            value={chosen}
            allowDeselect={false}
            onChange={(v) => v && setChosen(v)}
            description={command?.Description}
          />
        )}
        {command && <Parameters key={chosen} device={device} command={command} schema={schema} />}
      </Stack>
    </Modal>
  );
}

function Parameters({ device, command, schema }: { device: Device; command: ThingCommand; schema: Schema }) {
  const t = words.use();
  const [value, setValue] = useState<unknown>(() => blank(schema));
  const [wait, setWait] = useState(true);
  const [seconds, setSeconds] = useState(5);
  const [minutes, setMinutes] = useState(0);
  const [asJSON, setAsJSON] = useState(false);
  const faults = faultsIn(schema, value);
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const input = () => toWire(schema, value) as { [name: string]: unknown };
  const call = useAct(
    () =>
      take(
        api.POST('/v1/products/{productSN}/devices/{deviceSN}/commands', {
          params: { path },
          body: { identifier: command.Identifier, input: input(), async: !wait, timeoutSeconds: seconds, queueSeconds: minutes * 60 },
        }),
      ),
    { keys: [['commands', device.productSN, device.deviceSN]] },
  );
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        call.mutate(undefined);
      }}
    >
      <Stack>
        {asJSON ? <JsonInput value={value} onChange={setValue} /> : <SchemaForm schema={schema} value={value} onChange={setValue} faults={faults} />}
        <Group>
          <Checkbox label={t.inputJSON} checked={asJSON} onChange={(e) => setAsJSON(e.currentTarget.checked)} />
          <Checkbox label={t.wait} checked={wait} onChange={(e) => setWait(e.currentTarget.checked)} />
        </Group>
        <Group grow align="flex-start">
          <NumberInput label={t.seconds} suffix=" s" min={1} max={60} value={seconds} onChange={(v) => setSeconds(Number(v) || 5)} />
          <NumberInput label={t.queue} description={t.queueHint} inputWrapperOrder={['label', 'input', 'description', 'error']} min={0} max={43_200} value={minutes} onChange={(v) => setMinutes(Number(v) || 0)} />
        </Group>
        <Group justify="flex-end">
          <Button type="submit" disabled={faults.size > 0} loading={call.isPending}>
            {t.send}
          </Button>
        </Group>
        {call.data && <Outcome result={call.data} />}
      </Stack>
    </form>
  );
}

function Outcome({ result }: { result: Schemas['CommandResult'] }) {
  const t = words.use();
  const title = result.pending ? t.pending : result.retCode === 0 ? t.answered : t.failed(result.retCode);
  return (
    <Alert color={result.pending ? 'blue' : result.retCode === 0 ? 'teal' : 'red'} title={title} role="status" data-outcome={result.status}>
      {result.message && <Text size="sm">{result.message}</Text>}
      {result.output && <JsonView value={result.output} label={t.output} />}
    </Alert>
  );
}

/** JsonInput is the input as JSON, for what no form makes easy. */
function JsonInput({ value, onChange }: { value: unknown; onChange: (value: unknown) => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [typed, setTyped] = useState(() => JSON.stringify(value, null, 2));
  const [wrong, setWrong] = useState(false);
  return (
    <>
      <CodeEditor
        language="json"
        label={t.inputJSON}
        height="12rem"
        value={typed}
        onChange={(text) => {
          setTyped(text);
          try {
            onChange(JSON.parse(text));
            setWrong(false);
          } catch {
            setWrong(true);
          }
        }}
      />
      {wrong && (
        <Text c="red" size="sm" role="alert">
          {kit.wrongJSON}
        </Text>
      )}
    </>
  );
}
