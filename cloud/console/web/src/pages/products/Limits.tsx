import { Button, Group, NumberInput, Paper, Select, SimpleGrid, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { useAct } from '../../kit/data';
import { dictionary } from '../../kit/i18n';

const words = dictionary({
  en: {
    about: 'What is empty is the hub’s default.',
    publishRate: 'Messages a second a connection',
    publishBytes: 'Bytes a second a connection',
    maxPacket: 'Bytes of topic and payload',
    maxSubscriptions: 'Subscriptions a device',
    historyDays: 'Days of property history',
    historyCount: 'Values of each property',
    qos2: 'QoS 2',
    retain: 'Retained messages',
    will: 'Connections with a will',
    shadowMerge: 'Shadows merge nested objects',
    subdeviceConsent: 'Sub-devices want consent',
    subdeviceProof: 'Gateways prove sub-devices’ secrets',
    messageLog: 'Message log',
    byHub: 'as the hub',
    yes: 'yes',
    no: 'no',
    all: 'everything',
    errors: 'only errors',
    off: 'nothing',
    save: 'Save',
    saved: 'Saved',
  },
  zh: {
    about: '留空则采用 Hub 默认值。',
    publishRate: '每连接每秒消息数',
    publishBytes: '每连接每秒字节数',
    maxPacket: '主题与内容字节数',
    maxSubscriptions: '每设备订阅数',
    historyDays: '属性历史天数',
    historyCount: '每个属性的值数',
    qos2: 'QoS 2',
    retain: '保留消息',
    will: '带遗嘱的连接',
    shadowMerge: '影子合并嵌套对象',
    subdeviceConsent: '子设备需要同意',
    subdeviceProof: '网关须证明子设备密钥',
    messageLog: '消息日志',
    byHub: '同 Hub',
    yes: '是',
    no: '否',
    all: '全部',
    errors: '仅错误',
    off: '不记录',
    save: '保存',
    saved: '已保存',
  },
});

type Settings = NonNullable<Schemas['Product']['settings']>;

const numbers = [
  ['publishRate', 0.01],
  ['publishBytes', 1024],
  ['maxPacket', 128],
  ['maxSubscriptions', 1],
  ['historyDays', 0],
  ['historyCount', 1],
] as const;
const switches = ['qos2', 'retain', 'will', 'shadowMerge', 'subdeviceConsent', 'subdeviceProof'] as const;

/** Limits is what a product sets for its devices. A change replaces all of it, so that all of it is sent. */
export default function Limits({ product }: { product: Schemas['Product'] }) {
  const t = words.use();
  const { may } = useSession();
  const write = may('product.write', product.productSN);
  const [now, setNow] = useState<Settings>(product.settings ?? {});
  const set = (change: Partial<Settings>) => setNow({ ...now, ...change });
  const save = useAct(
    () => take(api.PATCH('/v1/products/{productSN}', { params: { path: { productSN: product.productSN } }, headers: { 'If-Match': `"${product.revision ?? 0}"` }, body: { settings: JSON.parse(JSON.stringify(now)) as Settings } })),
    { keys: [['product', product.productSN]], done: t.saved },
  );
  const choice = (name: (typeof switches)[number]) => (now[name] === undefined ? null : now[name] ? 'yes' : 'no');
  return (
    <Paper withBorder p="md">
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate(undefined);
        }}
      >
        <Stack>
          <Text size="sm" c="dimmed">
            {t.about}
          </Text>
          <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }}>
            {numbers.map(([name, least]) => (
              <NumberInput key={name} label={t[name]} placeholder={t.byHub} min={least} allowDecimal={name === 'publishRate'} disabled={!write} value={now[name] ?? ''} onChange={(v) => set({ [name]: v === '' ? undefined : Number(v) })} thousandSeparator=" " />
            ))}
            {switches.map((name) => (
              <Select
                key={name}
                label={t[name]}
                placeholder={t.byHub}
                clearable
                disabled={!write}
                data={[
                  { value: 'yes', label: t.yes },
                  { value: 'no', label: t.no },
                ]}
                value={choice(name)}
                onChange={(v) => set({ [name]: v === null ? undefined : v === 'yes' })}
              />
            ))}
            <Select
              label={t.messageLog}
              placeholder={t.byHub}
              clearable
              disabled={!write}
              data={(['all', 'errors', 'off'] as const).map((v) => ({ value: v, label: t[v] }))}
              value={now.messageLog ?? null}
              onChange={(v) => set({ messageLog: (v ?? undefined) as Settings['messageLog'] })}
            />
          </SimpleGrid>
          {write && (
            <Group>
              <Button type="submit" loading={save.isPending}>
                {t.save}
              </Button>
            </Group>
          )}
        </Stack>
      </form>
    </Paper>
  );
}
