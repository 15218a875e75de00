import { Alert, Button, FileInput, Group, NumberInput, Paper, SegmentedControl, Select, Stack, Table, Text, Textarea, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Link } from 'wouter';
import { api, currentProject, raw, take, type Schemas } from '../../api/client';
import { csvLine, saveAs } from '../../kit/csv';
import { useAct } from '../../kit/data';
import { dictionary, numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { JobView, type Job } from '../../kit/JobView';
import { Page } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { useProducts } from '../../kit/products';
import { pathOf } from './DeviceList';
import { words as pageWords } from './text';

const words = dictionary({
  en: {
    title: 'Add devices',
    product: 'Product',
    one: 'One',
    count: 'A number of them',
    list: 'By serial numbers',
    file: 'From a CSV file',
    how: 'How',
    sn: 'Serial number',
    snHint: 'Empty: the hub makes one',
    name: 'Name',
    howMany: 'How many',
    numbers: 'Serial numbers, one a line',
    numbersHint: 'At most 10,000',
    csv: 'File',
    csvHint: 'Columns in any order: deviceSN, name, description, secret, tag.NAME. At most 1,000,000 rows.',
    try: 'Try it',
    go: 'Add',
    import: 'Import',
    made: (n: string) => `${n} devices are there`,
    save: 'Download serial numbers and secrets',
    saveNow: 'They can be seen later too, one by one.',
    first: (n: number) => `The first ${n}`,
    template: 'An example file',
  },
  zh: {
    title: '添加设备',
    product: '产品',
    one: '单台',
    count: '按数量',
    list: '按序列号',
    file: '从 CSV 文件',
    how: '方式',
    sn: '序列号',
    snHint: '留空则由 Hub 生成',
    name: '名称',
    howMany: '数量',
    numbers: '序列号,每行一个',
    numbersHint: '最多 10,000 个',
    csv: '文件',
    csvHint: '列的顺序不限:deviceSN、name、description、secret、tag.名称。最多 1,000,000 行。',
    try: '试运行',
    go: '添加',
    import: '导入',
    made: (n: string) => `已添加 ${n} 台设备`,
    save: '下载序列号和密钥',
    saveNow: '以后也可逐台查看。',
    first: (n: number) => `前 ${n} 台`,
    template: '示例文件',
  },
});

type Device = Schemas['Device'];
const ways = ['one', 'count', 'list', 'file'] as const;
type Way = (typeof ways)[number];

export default function AddDevices() {
  const t = words.use();
  const page = pageWords.use();
  const products = useProducts();
  const [product, setProduct] = useParam('product');
  const [way, setWay] = useParam('by', 'one');
  return (
    <Page title={t.title} trail={[[page.title, '/devices']]}>
      <Paper withBorder p="md" maw={720}>
        <Stack>
          <Select label={t.product} required searchable data={products.map((p) => ({ value: p.productSN, label: p.name || p.productSN }))} value={product || null} onChange={(v) => setProduct(v ?? '', 'replace')} />
          <SegmentedControl aria-label={t.how} data={ways.map((w) => ({ value: w, label: t[w] }))} value={way} onChange={(w) => setWay(w, 'replace')} />
          {way === 'file' ? <FromFile key={product} product={product} /> : <Make key={`${product} ${way}`} product={product} way={way as Way} />}
        </Stack>
      </Paper>
    </Page>
  );
}

/** Make makes up to 10,000 devices at once, and shows what came of it. */
function Make({ product, way }: { product: string; way: Way }) {
  const t = words.use();
  const [sn, setSN] = useState('');
  const [name, setName] = useState('');
  const [count, setCount] = useState(10);
  const [text, setText] = useState('');
  const numbers = text.split(/[\s,;]+/).filter(Boolean);
  const params = { path: { productSN: product } };
  const make = useAct<void, Device[]>(
    async () => {
      if (way === 'one') return [await take(api.POST('/v1/products/{productSN}/devices', { params, body: { name, ...(sn.trim() && { deviceSN: sn.trim() }) } }))];
      const body = way === 'count' ? { count } : { deviceSNs: numbers };
      return (await take(api.POST('/v1/products/{productSN}/devices:batch', { params, body }))).items;
    },
    { keys: [['devices']] },
  );
  const ready = product !== '' && (way !== 'list' || numbers.length > 0);
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        make.mutate();
      }}
    >
      <Stack>
        {way === 'one' && (
          <>
            <TextInput label={t.sn} description={t.snHint} value={sn} onChange={(e) => setSN(e.currentTarget.value)} spellCheck={false} />
            <TextInput label={t.name} value={name} onChange={(e) => setName(e.currentTarget.value)} />
          </>
        )}
        {way === 'count' && <NumberInput label={t.howMany} min={1} max={10_000} value={count} onChange={(v) => setCount(Number(v) || 1)} />}
        {way === 'list' && <Textarea label={t.numbers} description={t.numbersHint} autosize minRows={4} maxRows={14} value={text} onChange={(e) => setText(e.currentTarget.value)} spellCheck={false} />}
        <Group>
          <Button type="submit" disabled={!ready} loading={make.isPending}>
            {t.go}
          </Button>
        </Group>
        {make.data && <Made devices={make.data} />}
      </Stack>
    </form>
  );
}

const shown = 10;

function Made({ devices }: { devices: Device[] }) {
  const t = words.use();
  const save = () => saveAs('devices.csv', [csvLine(['productSN', 'deviceSN', 'deviceSecret']), ...devices.map((d) => csvLine([d.productSN, d.deviceSN, d.deviceSecret ?? '']))], 'text/csv');
  return (
    <Alert color="teal" title={t.made(numeral(devices.length))} icon={<Icon name="check" />} role="status">
      <Stack gap="xs">
        <Group>
          <Button size="xs" variant="default" leftSection={<Icon name="download" size={14} />} onClick={save}>
            {t.save}
          </Button>
          <Text size="sm">{t.saveNow}</Text>
        </Group>
        {devices.length > shown && <Text size="sm">{t.first(shown)}</Text>}
        <Table>
          <Table.Tbody>
            {devices.slice(0, shown).map((d) => (
              <Table.Tr key={d.deviceSN}>
                <Table.Td>
                  <Link href={pathOf(d)} className="row-link">
                    {d.deviceSN}
                  </Link>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Stack>
    </Alert>
  );
}

/** FromFile has a job of the hub read a CSV file: first only to try, then in earnest. */
function FromFile({ product }: { product: string }) {
  const t = words.use();
  const cache = useQueryClient();
  const [file, setFile] = useState<File | null>(null);
  const [job, setJob] = useState<Job | null>(null);
  const send = useAct(
    async (dryRun: boolean) => {
      const answer = await raw('POST', `/v1/products/${product}/devices:import${dryRun ? '?dryRun=true' : ''}`, { body: file!, type: 'text/csv' });
      return (await answer.json()) as Job;
    },
    {},
  );
  const go = (dryRun: boolean) => send.mutate(dryRun, { onSuccess: setJob });
  const ready = product !== '' && file !== null;
  const example = () => saveAs('devices-example.csv', [csvLine(['deviceSN', 'name', 'description', 'tag.site']), csvLine(['pump-100', 'Pump 100', 'Hall 2', 'north'])], 'text/csv');
  return (
    <Stack>
      <FileInput label={t.csv} description={t.csvHint} accept=".csv,text/csv" value={file} onChange={setFile} clearable leftSection={<Icon name="upload" size={16} />} />
      <Group>
        <Button variant="default" disabled={!ready} loading={send.isPending} onClick={() => go(true)}>
          {t.try}
        </Button>
        <Button disabled={!ready} loading={send.isPending} onClick={() => go(false)}>
          {t.import}
        </Button>
        <Button variant="subtle" onClick={example}>
          {t.template}
        </Button>
      </Group>
      {job && <JobView key={job.id} job={job} onEnd={() => void cache.invalidateQueries({ queryKey: [currentProject(), 'devices'] })} />}
    </Stack>
  );
}
