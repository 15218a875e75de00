import { Badge, Button, Group, Modal, Paper, SegmentedControl, Select, Stack, Switch, Table, Text } from '@mantine/core';
import { useMemo, useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { Chart } from '../../kit/Chart';
import { useAct, useRead } from '../../kit/data';
import { dictionary } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { useModel } from '../../kit/model';
import { Empty, Loading, Ready } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { useRefresh } from '../../kit/refresh';
import { blank, faultsIn, schemaOf, toWire, valueText, type ThingProperty } from '../../kit/schema';
import { SchemaForm } from '../../kit/SchemaForm';
import { eventsPath } from '../../kit/stream';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { seriesOf, spans, stepOf, type Span } from './history';

const words = dictionary({
  en: {
    property: 'Property',
    value: 'Value',
    when: 'When',
    waits: 'Waits for the device',
    set: 'Set',
    setTitle: (name: string) => `Set ${name}`,
    keep: 'Keep it for the device when it is away',
    done: 'The device has taken it',
    stored: 'It waits for the device',
    refused: (code: number) => `The device refused it with ${code}`,
    none: 'The device has reported nothing, and its product has no thing model',
    show: 'History of',
    span: 'Span',
    history: 'History',
    noNumbers: 'No property with numbers',
  },
  zh: {
    property: '属性',
    value: '值',
    when: '时间',
    waits: '等待设备',
    set: '设置',
    setTitle: (name: string) => `设置${name}`,
    keep: '设备离线时为其保留',
    done: '设备已接受',
    stored: '等待设备上线',
    refused: (code: number) => `设备以 ${code} 拒绝`,
    none: '设备未上报任何内容,且产品没有物模型',
    show: '历史属性',
    span: '时间段',
    history: '历史',
    noNumbers: '没有数值属性',
  },
});

type Device = Schemas['Device'];

export default function Properties({ device }: { device: Device }) {
  const t = words.use();
  const { productSN, deviceSN } = device;
  const model = useModel(productSN);
  const key = ['properties', productSN, deviceSN];
  const read = useRead(key, (signal) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/properties', { params: { path: { productSN, deviceSN } }, signal })));
  useRefresh(eventsPath({ product: productSN, device: deviceSN, types: ['property'] }), [key]);
  return (
    <Ready of={read}>
      {(now) => {
        // What the model names comes first, in its order; what is not in it is shown all the same.
        const known = model.Property.map((p) => p.Identifier);
        const all = [...known, ...Object.keys(now.property).filter((id) => !known.includes(id))];
        if (all.length === 0) return <Empty>{t.none}</Empty>;
        return (
          <Stack>
            <Values device={device} all={all} now={now} model={model.Property} />
            <History device={device} model={model.Property} />
          </Stack>
        );
      }}
    </Ready>
  );
}

function Values({ device, all, now, model }: { device: Device; all: string[]; now: Schemas['Properties']; model: ThingProperty[] }) {
  const t = words.use();
  const { may } = useSession();
  const [setting, setSetting] = useState<ThingProperty | null>(null);
  const control = may('device.control', device.productSN);
  return (
    <Paper withBorder>
      <Table verticalSpacing="xs" data-list="properties">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t.property}</Table.Th>
            <Table.Th>{t.value}</Table.Th>
            <Table.Th>{t.when}</Table.Th>
            <Table.Th />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {all.map((id) => {
            const p = model.find((m) => m.Identifier === id);
            const latest = now.property[id];
            const wish = now.desired?.[id];
            return (
              <Table.Tr key={id}>
                <Table.Td className="cell">
                  {p?.Name || id} {p?.Name && <span className="dim">{id}</span>}
                </Table.Td>
                <Table.Td className="cell" data-property={id}>
                  {latest ? valueText(p?.DataType, latest.value) : <span className="dim">{'–'}</span>}
                  {wish && (
                    <Badge ml="xs" variant="light" color="yellow" className="badge">
                      {t.waits}: {valueText(p?.DataType, wish.value)}
                    </Badge>
                  )}
                </Table.Td>
                <Table.Td>{latest && <Time at={latest.time} />}</Table.Td>
                <Table.Td ta="end">
                  {control && p?.AccessMode === 'rw' && (
                    <Button size="compact-sm" variant="default" onClick={() => setSetting(p)} aria-label={t.setTitle(p.Name || id)}>
                      {t.set}
                    </Button>
                  )}
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
      {setting && <SetProperty device={device} property={setting} value={now.property[setting.Identifier]?.value} onClose={() => setSetting(null)} />}
    </Paper>
  );
}

function SetProperty({ device, property, value: present, onClose }: { device: Device; property: ThingProperty; value: unknown; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const name = property.Name || property.Identifier;
  const schema = { ...schemaOf(property.DataType), title: name, description: property.Description };
  const [value, setValue] = useState<unknown>(present ?? blank(schema));
  const [keep, setKeep] = useState(false);
  const faults = faultsIn(schema, value);
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const set = useAct(
    () => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/properties', { params: { path }, body: { property: { [property.Identifier]: toWire(schema, value) }, desired: keep, timeoutSeconds: 5 } })),
    { keys: [['properties', device.productSN, device.deviceSN]], done: (r) => (r.stored ? t.stored : r.retCode === 0 ? t.done : [t.refused(r.retCode), r.message].filter(Boolean).join(': ')) },
  );
  return (
    <Modal opened onClose={onClose} title={t.setTitle(name)} closeButtonProps={{ 'aria-label': kit.close }} centered>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          set.mutate(undefined, { onSuccess: onClose });
        }}
      >
        <Stack>
          <SchemaForm schema={schema} value={value} onChange={setValue} faults={faults} />
          <Switch label={t.keep} checked={keep} onChange={(e) => setKeep(e.currentTarget.checked)} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" disabled={faults.size > 0} loading={set.isPending}>
              {t.set}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

const numeric = ['int32', 'float32', 'float64', 'bool', 'enum'];

function History({ device, model }: { device: Device; model: ThingProperty[] }) {
  const t = words.use();
  const kit = kitWords.use();
  const choices = model.filter((p) => numeric.includes(p.DataType.Type));
  const [chosen, choose] = useParam('property', choices[0]?.Identifier ?? '');
  const [span, setSpan] = useParam('span', '1h');
  const property = choices.find((p) => p.Identifier === chosen);
  const { productSN, deviceSN } = device;
  const step = stepOf(span as Span);
  const read = useRead(
    ['history', productSN, deviceSN, chosen, span],
    (signal) =>
      take(
        api.GET('/v1/products/{productSN}/devices/{deviceSN}/properties/{identifier}/history', {
          params: { path: { productSN, deviceSN, identifier: chosen }, query: { from: new Date(Date.now() - spans[span as Span]).toISOString(), order: 'desc', limit: 1000, ...(step && { step, fn: 'avg' as const }) } },
          signal,
        }),
      ),
    property !== undefined && span in spans,
  );
  useRefresh(eventsPath({ product: productSN, device: deviceSN, types: ['property'] }), [['history', productSN, deviceSN]], Math.max(1_000, spans[span as Span] / 1_000));
  const series = useMemo(() => seriesOf(read.data?.items ?? []), [read.data]);
  if (choices.length === 0) return <Text c="dimmed">{t.noNumbers}</Text>;
  const name = property?.Name || chosen;
  const unit = (property?.DataType.Spec as { UnitName?: string } | undefined)?.UnitName;
  const stepped = property?.DataType.Type === 'bool' || property?.DataType.Type === 'enum';
  return (
    <Paper withBorder p="md">
      <Stack>
        <Group align="flex-end">
          <Select label={t.show} data={choices.map((p) => ({ value: p.Identifier, label: p.Name || p.Identifier }))} value={chosen} allowDeselect={false} onChange={(v) => v && choose(v)} leftSection={<Icon name="eye" size={16} />} />
          <SegmentedControl aria-label={t.span} data={Object.keys(spans)} value={span} onChange={(v) => setSpan(v)} />
          <Text size="sm" c="dimmed" ml="auto">
            {kit.points(String(series.times.length))}
          </Text>
        </Group>
        {!read.data ? <Loading /> : series.times.length === 0 ? <Empty>{kit.noPoints}</Empty> : <Chart label={name} times={series.times} series={[{ label: name, values: series.values }]} unit={unit} stepped={stepped} />}
      </Stack>
    </Paper>
  );
}
