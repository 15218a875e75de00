// The kinds of targets: what a connector of each asks for. docs/connectors.md says the same at length; a test holds the names together.
import type { Language } from '../../kit/i18n';
import type { Schema } from '../../kit/schema';

type Both = [en: string, zh: string];
/** A member as it is written here: its schema, with the title in both languages. */
export type Member = [name: string, title: Both, schema: Schema];

export const text: Schema = { type: 'string' };
export const lines: Schema = { type: 'string', lines: true };
export const secret: Schema = { type: 'string', secret: true };
export const flag: Schema = { type: 'boolean' };
export const count = (minimum: number, maximum: number): Schema => ({ type: 'integer', minimum, maximum });
export const list: Schema = { type: 'array', items: text };
export const templates = (value: Schema = text): Schema => ({ type: 'object', members: value });
export const choice = (...values: string[]): Schema => ({ type: 'string', choices: values.map((value) => ({ value, label: '' })) });

/** formOf makes a form's schema of members, in a language. */
export function formOf(members: Member[], language: Language, required: string[] = []): Schema {
  return { type: 'object', required, properties: Object.fromEntries(members.map(([name, [en, zh], schema]) => [name, { ...schema, title: `${language === 'zh' ? zh : en} (${name})` }])) };
}

const user: Member = ['user', ['User', '用户'], text];
const password: Member = ['password', ['Password', '密码'], secret];
const timeout: Member = ['timeoutSeconds', ['Seconds of a delivery', '单次投递秒数'], count(1, 60)];
const trust: Member[] = [
  ['ca', ['Trusted certificates, PEM', '受信任证书 PEM'], lines],
  ['serverName', ['Name in the server’s certificate', '服务器证书中的名称'], text],
  ['clientCertificate', ['The hub’s certificate, PEM', 'Hub 证书 PEM'], lines],
  ['clientKey', ['The hub’s key, PEM', 'Hub 私钥 PEM'], { ...lines, secret: true }],
];
const tls: Member[] = [['tls', ['Encrypt and verify', '加密并校验'], flag], ...trust, ['tlsSkipVerify', ['Take any certificate (unsafe)', '接受任何证书(不安全)'], flag]];
const database = (port: number): Member[] => [
  ['host', ['Host', '主机'], text],
  ['port', [`Port, ${port} unless set`, `端口,默认 ${port}`], count(1, 65535)],
  ['database', ['Database', '数据库'], text],
  user,
  password,
  ['maxConnections', ['Connections of each node', '每个节点的连接数'], count(1, 64)],
  ...tls,
];

export const kinds: Record<string, { title: string; members: Member[]; required: string[] }> = {
  mysql: { title: 'MySQL, MariaDB', members: database(3306), required: ['host', 'database', 'user'] },
  postgres: { title: 'PostgreSQL', members: database(5432), required: ['host', 'database', 'user'] },
  http: {
    title: 'HTTP',
    required: ['url'],
    members: [
      ['url', ['Base URL', '基础 URL'], text],
      user,
      password,
      ['token', ['Bearer token', 'Bearer 令牌'], secret],
      ['headers', ['Headers of each request', '每个请求的标头'], templates({ ...text, secret: true })],
      ['signingSecrets', ['Secrets that sign requests, one or two', '请求签名密钥,一个或两个'], { type: 'array', items: secret, maxItems: 2 }],
      ...trust,
    ],
  },
  tsdb: {
    title: 'InfluxDB, VictoriaMetrics',
    required: ['url'],
    members: [
      ['url', ['URL of the server', '服务器 URL'], text],
      ['server', ['Server, if what is below does not tell', '服务器类型(以下内容无法判断时)'], choice('influxdb', 'victoriametrics')],
      ['database', ['Database (InfluxDB 1)', '数据库(InfluxDB 1)'], text],
      ['retentionPolicy', ['Retention policy (InfluxDB 1)', '保留策略(InfluxDB 1)'], text],
      user,
      password,
      ['bucket', ['Bucket (InfluxDB 2)', '存储桶(InfluxDB 2)'], text],
      ['org', ['Organisation (InfluxDB 2)', '组织(InfluxDB 2)'], text],
      ['token', ['Token', '令牌'], secret],
      ['compression', ['Compression', '压缩'], choice('gzip', 'none')],
      timeout,
      ...trust,
    ],
  },
  kafka: {
    title: 'Kafka',
    required: ['brokers'],
    members: [
      ['brokers', ['Brokers, host:port', 'Broker,主机:端口'], list],
      ['sasl', ['Login', '登录方式'], choice('PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512')],
      user,
      password,
      ['clientId', ['Client id', '客户端 ID'], text],
      timeout,
      ['maxMessageBytes', ['Largest message in bytes', '最大消息字节数'], count(1, 1 << 30)],
      ['createTopics', ['Topics that are missing may be made', '允许创建缺失的主题'], flag],
      ['version', ['Newest version to speak, like 2.3', '使用的最高版本,如 2.3'], text],
      ...tls,
    ],
  },
  mongodb: {
    title: 'MongoDB',
    required: [],
    members: [
      ['hosts', ['Hosts, host:port', '主机,主机:端口'], list],
      ['replicaSet', ['Replica set', '副本集'], text],
      ['uri', ['URI instead of hosts, without a password', '代替主机的 URI,不含密码'], text],
      user,
      password,
      ['authSource', ['Database that knows the user', '认证数据库'], text],
      ['authMechanism', ['Login', '登录方式'], choice('SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN', 'MONGODB-X509')],
      timeout,
      ...tls,
    ],
  },
  nats: {
    title: 'NATS',
    required: ['servers'],
    members: [
      ['servers', ['Servers, host:port', '服务器,主机:端口'], list],
      user,
      password,
      ['token', ['Token', '令牌'], secret],
      ['nkeySeed', ['NKey seed', 'NKey 种子'], secret],
      ['creds', ['What a .creds file holds', '.creds 文件内容'], { ...lines, secret: true }],
      timeout,
      ...tls,
    ],
  },
};

/** kindName is a kind as people know it. */
export const kindName = (kind: string): string => kinds[kind]?.title ?? kind;

/** secretsOf are the members of a kind that never come back. */
export function secretsOf(kind: string): string[] {
  const hidden = (s: Schema): boolean => Boolean(s.secret || (s.items && hidden(s.items)) || (s.members && hidden(s.members)));
  return (kinds[kind]?.members ?? []).filter(([, , s]) => hidden(s)).map(([name]) => name);
}
