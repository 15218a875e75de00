// What an action of each kind asks for, see docs/connectors.md.
import type { Language } from '../../kit/i18n';
import type { Schema } from '../../kit/schema';
import { choice, count, flag, formOf, lines, list, secret, templates, text, type Member } from '../connectors/kinds';

const batch = (most: number): Member[] => [
  ['batchSize', ['Results at once', '每批结果数'], count(1, most)],
  ['lingerMillis', ['Milliseconds to wait for others', '等待凑批的毫秒数'], count(0, 10_000)],
];
const timeout: Member = ['timeoutSeconds', ['Seconds of a delivery', '单次投递秒数'], count(1, 60)];
const value: Member = ['value', ['Message; the result if empty', '消息;空则为结果'], lines];
const headers: Member = ['headers', ['Headers', '标头'], templates()];

const rows: Member[] = [
  ['table', ['Table', '表'], text],
  ['columns', ['Columns and templates', '列与模板'], { ...templates(), description: '${recordKey} ${deviceSN} ${timestamp}' }],
  ['key', ['Columns with a unique index', '唯一索引列'], list],
  ['onConflict', ['When the key is there already', '键已存在时'], choice('ignore', 'update')],
  ['statement', ['A statement instead of a table', '代替表的语句'], lines],
  ['missing', ['A field that is missing', '字段缺失时'], choice('null', 'refuse')],
  ...batch(1000),
  timeout,
];

export const actionKinds: Record<string, { title: string; members: Member[]; required: string[]; connector: 'needed' | 'may' | 'none' }> = {
  republish: {
    title: 'Republish',
    connector: 'none',
    required: ['topic'],
    members: [
      ['topic', ['Topic of a device', '设备主题'], { ...text, description: '/${productSN}/${deviceSN}/set' }],
      ['qos', ['QoS', 'QoS'], { type: 'integer', choices: [0, 1].map((v) => ({ value: v, label: '' })) }],
    ],
  },
  http: {
    title: 'HTTP',
    connector: 'may',
    required: [],
    members: [
      ['url', ['URL, without a connector', 'URL(不用连接器时)'], text],
      ['path', ['Path behind the connector’s URL', '连接器 URL 之后的路径'], { ...text, description: '/v1/${deviceSN}?room=${room}' }],
      ['method', ['Method', '方法'], choice('POST', 'PUT')],
      headers,
      ['body', ['Body; the result if empty', '正文;空则为结果'], lines],
      timeout,
      ...batch(100),
      ['batchBytes', ['Bytes at once', '每批字节数'], count(1, 1 << 26)],
      ['compression', ['Compression', '压缩'], choice('gzip')],
      ['signingSecrets', ['Secrets that sign requests', '请求签名密钥'], { type: 'array', items: secret, maxItems: 2 }],
    ],
  },
  mysql: { title: 'MySQL, MariaDB', connector: 'needed', required: [], members: rows },
  postgres: { title: 'PostgreSQL', connector: 'needed', required: [], members: rows },
  tsdb: {
    title: 'InfluxDB, VictoriaMetrics',
    connector: 'needed',
    required: ['measurement'],
    members: [
      ['measurement', ['Measurement', '测量'], text],
      ['tags', ['Tags', '标签'], templates()],
      [
        'fields',
        ['Fields', '字段'],
        templates({ type: 'object', properties: { value: { type: 'string', title: 'value' }, type: { ...choice('auto', 'float', 'int', 'string', 'bool'), title: 'type' } } }),
      ],
      ['timestamp', ['Time', '时间'], { type: 'object', properties: { value: { type: 'string', title: 'value' }, unit: { ...choice('s', 'ms', 'us', 'ns'), title: 'unit' } } }],
      ...batch(1000),
    ],
  },
  kafka: {
    title: 'Kafka',
    connector: 'needed',
    required: ['topic'],
    members: [
      ['topic', ['Topic', '主题'], text],
      ['key', ['Key', '键'], text],
      headers,
      value,
      ['compression', ['Compression', '压缩'], choice('snappy', 'none', 'gzip', 'lz4', 'zstd')],
      ['partitioner', ['Partitioner', '分区方式'], choice('murmur2', 'crc32', 'fnv1a', 'roundRobin')],
      ...batch(5000),
    ],
  },
  mongodb: {
    title: 'MongoDB',
    connector: 'needed',
    required: ['database', 'collection'],
    members: [
      ['database', ['Database', '数据库'], text],
      ['collection', ['Collection', '集合'], text],
      ['id', ['Id of the document', '文档 ID'], text],
      ['upsertBy', ['Fields that tell which document to replace', '用于替换文档的字段'], list],
      ['dates', ['Members that are times', '时间成员'], list],
      ...batch(5000),
    ],
  },
  nats: {
    title: 'NATS',
    connector: 'needed',
    required: ['subject'],
    members: [['subject', ['Subject', '主题'], text], ['jetstream', ['Wait for a stream', '等待流存储'], flag], headers, value, ...batch(1000)],
  },
};

/** How the records of an action are delivered, whatever its kind. */
export const delivery: Member[] = [
  ['whenFull', ['When the queue is full', '队列已满时'], choice('dead-letter', 'block')],
  ['maxBytes', ['Bytes that may wait', '可等待的字节数'], count(65_536, 1e12)],
  ['maxAttempts', ['Tries of a result that may be at fault itself', '结果自身出错时的尝试次数'], count(1, 1000)],
  ['expiresSeconds', ['Seconds after which a result is dropped, 0 never', '结果丢弃前的秒数,0 为从不'], count(0, 1e9)],
];

export function actionForm(kind: string, language: Language): Schema {
  const k = actionKinds[kind];
  return formOf(k?.members ?? [], language, k?.required);
}
