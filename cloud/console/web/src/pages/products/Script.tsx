import { Alert, Button, Code, Group, Paper, SegmentedControl, Stack, Table, Text, Textarea, TextInput, Title } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { hasCode } from '../../api/problem';
import { useSession } from '../../app/session';
import { CodeEditor } from '../../kit/CodeEditor';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { bytes, dictionary } from '../../kit/i18n';
import { JsonView } from '../../kit/JsonView';
import { Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { useWho } from '../../kit/who';

const words = dictionary({
  en: {
    about: 'JavaScript that makes JSON of what devices send, and bytes of what they are sent.',
    source: 'Parse script',
    note: 'What this version is about',
    save: 'Save',
    saved: 'The next message goes through it',
    remove: 'Take it away',
    removeSure: 'Messages with ?parse=true are refused from then on. The versions are kept.',
    removed: 'The script is gone',
    try: 'Try',
    trial: 'Try it on a message',
    as: 'Payload as',
    hex: 'Hex',
    text: 'Text',
    down: 'JSON to bytes',
    payload: 'Payload',
    topic: 'Topic',
    topicHint: 'Empty: one that ends in /upload or /set',
    outcome: 'What comes of it',
    line: (n: number) => `line ${n}`,
    cost: (us: string, mem: string) => `${us} µs of processor, ${mem}`,
    printed: 'It printed',
    versions: 'Versions',
    none: 'No versions',
    take: 'Into the editor',
    when: 'When',
    by: 'By',
    version: 'Version',
    wrong: 'Must be a JSON object',
  },
  zh: {
    about: '将设备发送的内容转为 JSON,并将下发内容转为字节的 JavaScript。',
    source: '解析脚本',
    note: '版本说明',
    save: '保存',
    saved: '下一条消息即经由它处理',
    remove: '移除',
    removeSure: '此后带 ?parse=true 的消息将被拒绝。版本仍保留。',
    removed: '脚本已移除',
    try: '试运行',
    trial: '用一条消息试运行',
    as: '内容形式',
    hex: '十六进制',
    text: '文本',
    down: 'JSON 转字节',
    payload: '内容',
    topic: '主题',
    topicHint: '留空则为以 /upload 或 /set 结尾的主题',
    outcome: '结果',
    line: (n: number) => `第 ${n} 行`,
    cost: (us: string, mem: string) => `处理器 ${us} 微秒,${mem}`,
    printed: '输出',
    versions: '版本',
    none: '没有版本',
    take: '载入编辑器',
    when: '时间',
    by: '修改者',
    version: '版本',
    wrong: '必须是 JSON 对象',
  },
});

const example = `function rawDataToJSON(topic, rawData) {
  return { length: rawData.length };
}

function jsonToRawData(topic, object) {
  return [0];
}
`;

type Product = Schemas['Product'];
type Script = Schemas['Script'];

export default function ScriptTab({ product }: { product: Product }) {
  const path = { productSN: product.productSN };
  const read = useRead<Script | null>(['script', product.productSN], (signal) =>
    take(api.GET('/v1/products/{productSN}/script', { params: { path }, signal })).catch((err: unknown) => {
      if (hasCode(err, 'script_not_found')) return null;
      throw err;
    }),
  );
  return <Ready of={read}>{(script) => <Editor key={script?.revision ?? 0} product={product} script={script} />}</Ready>;
}

function Editor({ product, script }: { product: Product; script: Script | null }) {
  const t = words.use();
  const { may } = useSession();
  const write = may('product.write', product.productSN);
  const [source, setSource] = useState(script?.source ?? example);
  const [note, setNote] = useState('');
  const [asked, setAsked] = useState(false);
  const path = { productSN: product.productSN };
  const keys = [['script', product.productSN], ['script-versions', product.productSN]];
  const headers = script ? { 'If-Match': `"${script.revision}"` } : undefined;
  const save = useAct(() => take(api.PUT('/v1/products/{productSN}/script', { params: { path }, headers, body: { source, ...(note && { note }) } })), { keys, done: t.saved });
  const remove = useAct(() => take(api.DELETE('/v1/products/{productSN}/script', { params: { path } })), { keys, done: t.removed });
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        {t.about}
      </Text>
      <CodeEditor language="javascript" label={t.source} value={source} onChange={setSource} readOnly={!write} />
      {write && (
        <Group align="flex-end">
          <TextInput label={t.note} value={note} maxLength={512} onChange={(e) => setNote(e.currentTarget.value)} className="grow" />
          <Button loading={save.isPending} onClick={() => save.mutate(undefined)}>
            {t.save}
          </Button>
          {script && (
            <Button variant="default" c="red" onClick={() => setAsked(true)}>
              {t.remove}
            </Button>
          )}
        </Group>
      )}
      {write && <Trial product={product} source={source} />}
      <Versions product={product} onTake={setSource} />
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.remove} action={t.remove} busy={remove.isPending} onConfirm={() => remove.mutate(undefined, { onSettled: () => setAsked(false) })}>
        {t.removeSure}
      </ConfirmDialog>
    </Stack>
  );
}

type Form = 'hex' | 'text' | 'down';

function Trial({ product, source }: { product: Product; source: string }) {
  const t = words.use();
  const [form, setForm] = useState<Form>('hex');
  const [payload, setPayload] = useState('01 02 ff');
  const [topic, setTopic] = useState('');
  const run = useAct(() => {
    const what = form === 'hex' ? { payloadHex: payload } : form === 'text' ? { payload } : { object: JSON.parse(payload) as { [k: string]: unknown } };
    return take(api.POST('/v1/products/{productSN}/script:try', { params: { path: { productSN: product.productSN } }, body: { source, ...(topic && { topic }), ...what } }));
  });
  let wrong = false;
  try {
    if (form === 'down') JSON.parse(payload);
  } catch {
    wrong = true;
  }
  return (
    <Paper withBorder p="md" component="section" aria-label={t.trial}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          run.mutate(undefined);
        }}
      >
        <Stack>
          <Title order={2} size="h5">
            {t.trial}
          </Title>
          <SegmentedControl
            aria-label={t.as}
            data={(['hex', 'text', 'down'] as const).map((f) => ({ value: f, label: t[f] }))}
            value={form}
            onChange={(f) => {
              setForm(f as Form);
              setPayload(f === 'down' ? '{}' : f === 'hex' ? '01 02 ff' : '');
            }}
          />
          <Textarea label={t.payload} autosize minRows={2} maxRows={8} value={payload} error={wrong && t.wrong} onChange={(e) => setPayload(e.currentTarget.value)} spellCheck={false} />
          <TextInput label={t.topic} description={t.topicHint} value={topic} onChange={(e) => setTopic(e.currentTarget.value)} spellCheck={false} />
          <Group>
            <Button type="submit" variant="default" disabled={wrong} loading={run.isPending}>
              {t.try}
            </Button>
          </Group>
          {run.data && <Outcome of={run.data} />}
        </Stack>
      </form>
    </Paper>
  );
}

function Outcome({ of }: { of: Schemas['ScriptOutcome'] }) {
  const t = words.use();
  return (
    <Alert color={of.error ? 'red' : 'teal'} title={of.error ? [of.error.kind, of.error.line !== undefined && t.line(of.error.line)].filter(Boolean).join(', ') : t.outcome} role="status" data-outcome={of.error ? 'error' : 'ok'}>
      <Stack gap="xs">
        {of.error && <Text size="sm">{of.error.reason}</Text>}
        {of.object !== undefined && <JsonView value={of.object} label={t.outcome} />}
        {of.rawHex !== undefined && <Code className="wrap">{of.rawHex}</Code>}
        {of.console && (
          <>
            <Text size="sm">{t.printed}</Text>
            <Code block>{of.console}</Code>
          </>
        )}
        <Text size="xs">{t.cost(String(of.cpuMicroseconds), bytes(of.memoryBytes))}</Text>
      </Stack>
    </Alert>
  );
}

function Versions({ product, onTake }: { product: Product; onTake: (source: string) => void }) {
  const t = words.use();
  const who = useWho();
  const path = { productSN: product.productSN };
  const read = useRead(['script-versions', product.productSN], (signal) => take(api.GET('/v1/products/{productSN}/script/versions', { params: { path }, signal })));
  const fetchOne = useAct((revision: number) => take(api.GET('/v1/products/{productSN}/script/versions/{revision}', { params: { path: { ...path, revision } } })));
  return (
    <Paper withBorder p="md" component="section" aria-label={t.versions}>
      <Title order={2} size="h5" mb="sm">
        {t.versions}
      </Title>
      <Ready of={read}>
        {(list) =>
          list.items.length === 0 ? (
            <Text size="sm">{t.none}</Text>
          ) : (
            <Table>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t.version}</Table.Th>
                  <Table.Th>{t.when}</Table.Th>
                  <Table.Th>{t.by}</Table.Th>
                  <Table.Th>{t.note}</Table.Th>
                  <Table.Th />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.items.map((v) => (
                  <Table.Tr key={v.revision}>
                    <Table.Td>{v.revision}</Table.Td>
                    <Table.Td>
                      <Time at={v.changedAt} />
                    </Table.Td>
                    <Table.Td>{who(v.changedBy)}</Table.Td>
                    <Table.Td className="cell">{v.note}</Table.Td>
                    <Table.Td ta="end">
                      <Button size="compact-sm" variant="default" disabled={v.functions.length === 0} onClick={() => fetchOne.mutate(v.revision, { onSuccess: (s) => onTake(s.source ?? '') })}>
                        {t.take}
                      </Button>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )
        }
      </Ready>
    </Paper>
  );
}
