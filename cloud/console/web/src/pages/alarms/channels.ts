// The ways to people: what a channel of each kind asks for. docs/monitoring.md says the same.
import { api, take, type Schemas } from '../../api/client';
import { useRead } from '../../kit/data';
import { choice, count, lines, list, secret, text, type Member } from '../connectors/kinds';

const url: Member = ['url', ['Address of the hook', '钩子地址'], secret];
const signature: Member = ['secret', ['Secret, where signatures are demanded', '签名密钥(需要签名时)'], secret];

export const channelKinds: Record<string, { title: [en: string, zh: string]; members: Member[]; required: string[] }> = {
  webhook: {
    title: ['Webhook', 'Webhook'],
    required: ['url'],
    members: [
      ['url', ['URL', 'URL'], text],
      ['secret', ['Secret that signs, 16 bytes or more', '签名密钥,至少 16 字节'], secret],
    ],
  },
  smtp: {
    title: ['Mail', '邮件'],
    required: ['host', 'from', 'to'],
    members: [
      ['host', ['Mail server', '邮件服务器'], text],
      ['port', ['Port, 587 unless set', '端口,默认 587'], count(1, 65535)],
      ['tls', ['Encryption', '加密方式'], choice('starttls', 'implicit', 'none')],
      ['ca', ['Trusted certificates, PEM', '受信任证书 PEM'], lines],
      ['user', ['User', '用户'], text],
      ['password', ['Password', '密码'], secret],
      ['from', ['Sender', '发件人'], text],
      ['to', ['Recipients', '收件人'], list],
    ],
  },
  slack: { title: ['Slack', 'Slack'], required: ['url'], members: [url] },
  teams: { title: ['Microsoft Teams', 'Microsoft Teams'], required: ['url'], members: [url] },
  wecom: { title: ['WeCom', '企业微信'], required: ['url'], members: [url] },
  dingtalk: { title: ['DingTalk', '钉钉'], required: ['url'], members: [url, signature] },
  feishu: { title: ['Feishu, Lark', '飞书'], required: ['url'], members: [url, signature] },
};

/** useChannels are the channels of the project, the first thousand. */
export function useChannels(): Schemas['AlarmChannel'][] {
  const read = useRead(['alarm-channels', 'all'], (signal) => take(api.GET('/v1/alarm-channels', { params: { query: { limit: 1000 } }, signal })));
  return read.data?.items ?? [];
}
