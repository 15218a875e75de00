import { Alert, Badge, Button, Group, Modal, Paper, Select, Stack, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { CopyText } from '../../kit/CopyText';
import { saveAs } from '../../kit/csv';
import { useAct } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { dictionary } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { ListPage, type Column } from '../../kit/ListPage';
import { deviceSecret, Secret } from '../../kit/Secret';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';

const words = dictionary({
  en: {
    login: 'Login by secret',
    clientID: 'Client id',
    userName: 'User name',
    password: 'Password',
    hidden: 'You may not see secrets',
    certificates: 'Certificates',
    serial: 'Serial number',
    status: 'State',
    issued: 'Issued',
    expires: 'Expires',
    reason: 'Reason',
    none: 'No certificates',
    issue: 'Issue a certificate',
    issueSure: 'The hub makes a key and a certificate that holds a year. Others that the device has go on to hold.',
    issuedTitle: 'The certificate is there',
    keyOnce: 'The key is shown only now. Save both files.',
    saveKey: 'Save the key',
    saveCert: 'Save the certificate',
    revoke: 'Revoke',
    revokeSure: (s: string) => `Certificate ${s} is not taken any more; a session that stands on it ends.`,
    revoked: 'Revoked',
    valid: 'valid',
    expired: 'expired',
    revokedState: 'revoked',
  },
  zh: {
    login: '密钥登录',
    clientID: '客户端 ID',
    userName: '用户名',
    password: '密码',
    hidden: '您无权查看密钥',
    certificates: '证书',
    serial: '序列号',
    status: '状态',
    issued: '签发时间',
    expires: '到期时间',
    reason: '原因',
    none: '没有证书',
    issue: '签发证书',
    issueSure: 'Hub 生成密钥和有效期一年的证书。设备已有的证书继续有效。',
    issuedTitle: '证书已签发',
    keyOnce: '密钥仅显示这一次,请保存两个文件。',
    saveKey: '保存密钥',
    saveCert: '保存证书',
    revoke: '吊销',
    revokeSure: (s: string) => `证书 ${s} 不再被接受;基于它的会话将结束。`,
    revoked: '已吊销',
    valid: '有效',
    expired: '已过期',
    revokedState: '已吊销',
  },
});

type Device = Schemas['Device'];
type Certificate = Schemas['Certificate'];

export default function Credentials({ device }: { device: Device }) {
  const t = words.use();
  const { may } = useSession();
  return (
    <Stack>
      <Paper withBorder p="md" component="section" aria-label={t.login}>
        <Title order={2} size="h5" mb="sm">
          {t.login}
        </Title>
        <Facts
          of={[
            [t.clientID, <CopyText value={`${device.productSN}.${device.deviceSN}`} />],
            [t.userName, <CopyText value={`${device.productSN}|${device.deviceSN}|1`} />],
            [t.password, may('device.secret', device.productSN) ? <Secret reveal={() => deviceSecret(device)} /> : t.hidden],
          ]}
        />
      </Paper>
      {may('ca.read', device.productSN) && <Certificates device={device} />}
    </Stack>
  );
}

function Certificates({ device }: { device: Device }) {
  const t = words.use();
  const { may } = useSession();
  const [asked, setAsked] = useState<Certificate | 'issue' | null>(null);
  const [made, setMade] = useState<Schemas['IssuedCertificate'] | null>(null);
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const key = ['certificates', device.productSN, device.deviceSN];
  const write = may('ca.write', device.productSN);
  const issue = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/certificates', { params: { path }, body: {} })), { keys: [key] });
  const name = (c: Certificate) => (c.status === 'valid' ? t.valid : c.status === 'expired' ? t.expired : t.revokedState);
  const columns: Column<Certificate>[] = [
    { id: 'serial', title: t.serial, cell: (c) => <CopyText value={c.serial} />, csv: (c) => c.serial },
    { id: 'status', title: t.status, cell: (c) => <Badge variant="light" color={c.status === 'valid' ? 'green' : 'red'} className="badge">{name(c)}</Badge>, csv: (c) => c.status },
    { id: 'issued', title: t.issued, cell: (c) => c.issuedAt && <Time at={c.issuedAt} />, csv: (c) => c.issuedAt },
    { id: 'expires', title: t.expires, cell: (c) => <Time at={c.expiresAt} />, csv: (c) => c.expiresAt },
    { id: 'reason', title: t.reason, hidden: true, cell: (c) => c.reason, csv: (c) => c.reason },
    {
      id: 'do',
      title: '',
      cell: (c) =>
        write &&
        c.status === 'valid' && (
          <Button size="compact-sm" variant="default" c="red" onClick={() => setAsked(c)}>
            {t.revoke}
          </Button>
        ),
    },
  ];
  return (
    <Paper withBorder p="md" component="section" aria-label={t.certificates}>
      <Group justify="space-between" mb="sm">
        <Title order={2} size="h5">
          {t.certificates}
        </Title>
        {write && (
          <Button variant="default" leftSection={<Icon name="plus" size={16} />} onClick={() => setAsked('issue')}>
            {t.issue}
          </Button>
        )}
      </Group>
      <ListPage<Certificate>
        name="certificates"
        about={[device.productSN, device.deviceSN]}
        columns={columns}
        rowKey={(c) => c.serial}
        empty={t.none}
        load={({ cursor, limit, signal }) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/certificates', { params: { path, query: { cursor: cursor || undefined, limit } }, signal }))}
      />
      <ConfirmDialog
        opened={asked === 'issue'}
        onClose={() => setAsked(null)}
        title={t.issue}
        action={t.issue}
        busy={issue.isPending}
        onConfirm={() => issue.mutate(undefined, { onSuccess: setMade, onSettled: () => setAsked(null) })}
      >
        {t.issueSure}
      </ConfirmDialog>
      {asked !== null && asked !== 'issue' && <Revoke device={device} certificate={asked} onClose={() => setAsked(null)} />}
      {made && <Issued device={device} made={made} onClose={() => setMade(null)} />}
    </Paper>
  );
}

function Issued({ device, made, onClose }: { device: Device; made: Schemas['IssuedCertificate']; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  return (
    <Modal opened onClose={onClose} title={t.issuedTitle} closeButtonProps={{ 'aria-label': kit.close }} closeOnClickOutside={false} centered>
      <Stack>
        <Alert color="yellow">{t.keyOnce}</Alert>
        <Group>
          {made.privateKey && (
            <Button leftSection={<Icon name="download" size={16} />} onClick={() => saveAs(`${device.deviceSN}.key.pem`, [made.privateKey!], 'application/x-pem-file')}>
              {t.saveKey}
            </Button>
          )}
          <Button variant="default" leftSection={<Icon name="download" size={16} />} onClick={() => saveAs(`${device.deviceSN}.cert.pem`, [made.chain], 'application/x-pem-file')}>
            {t.saveCert}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

const reasons = ['unspecified', 'keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation'] as const;

function Revoke({ device, certificate, onClose }: { device: Device; certificate: Certificate; onClose: () => void }) {
  const t = words.use();
  const [reason, setReason] = useState<(typeof reasons)[number]>('unspecified');
  const path = { productSN: device.productSN, deviceSN: device.deviceSN, serial: certificate.serial };
  const revoke = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/certificates/{serial}/revoke', { params: { path }, body: { reason } })), {
    keys: [['certificates', device.productSN, device.deviceSN]],
    done: t.revoked,
  });
  return (
    <ConfirmDialog opened onClose={onClose} title={t.revoke} action={t.revoke} name={device.deviceSN} busy={revoke.isPending} onConfirm={() => revoke.mutate(undefined, { onSettled: onClose })}>
      <Stack>
        <Text size="sm" className="wrap">
          {t.revokeSure(certificate.serial)}
        </Text>
        <Select label={t.reason} data={[...reasons]} value={reason} allowDeselect={false} onChange={(r) => setReason((r ?? 'unspecified') as typeof reason)} />
      </Stack>
    </ConfirmDialog>
  );
}
