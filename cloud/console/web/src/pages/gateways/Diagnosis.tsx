import { Anchor, Badge, Button, Group, Text } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { hasCode } from '../../api/problem';
import { useSession } from '../../app/session';
import { useAct, useRead } from '../../kit/data';
import { bytes } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { useRefresh } from '../../kit/refresh';
import { Time } from '../../kit/Time';
import { words } from './configText';

type Asked = Schemas['AgentDiagnosis'];

const base = '/v1/products/{productSN}/devices/{deviceSN}/agent/diagnosis';
const going = (a?: Asked | null) => a?.state === 'asked' || a?.state === 'making' || a?.state === 'uploading';
const pause = 2000;

/** Diagnosis asks the agent for its bundle, and has the file when it has come. */
export function Diagnosis({ product, device }: { product: string; device: string }) {
  const t = words.use();
  const { may } = useSession();
  const path = { productSN: product, deviceSN: device };
  const key = ['agent-diagnosis', product, device];
  const read = useRead(key, (signal) =>
    take(api.GET(base, { params: { path }, signal })).catch((err: unknown) => {
      if (hasCode(err, 'diagnosis_not_found')) return null;
      throw err;
    }),
  );
  const ask = useAct(() => take(api.POST(base, { params: { path } })), { keys: [key] });
  const a = read.data;
  useRefresh(going(a) ? `/v1/metrics/events?product=${encodeURIComponent(product)}` : null, [key], pause);
  const names: Record<Asked['state'], string> = { asked: t.asked, making: t.making, uploading: t.uploading, done: t.done, failed: t.failed, timeout: t.timeout };
  const colours: Record<Asked['state'], string> = { asked: 'blue', making: 'blue', uploading: 'blue', done: 'green', failed: 'red', timeout: 'red' };
  return (
    <Group gap="sm" role="status" aria-label={t.diagnosis}>
      {may('device.control', product) && (
        <Button size="xs" variant="default" leftSection={<Icon name="download" size={14} />} loading={ask.isPending || going(a)} onClick={() => ask.mutate(undefined)}>
          {t.diagnose}
        </Button>
      )}
      {a && (
        <>
          <Badge variant="light" color={colours[a.state]} className="badge" data-diagnosis={a.state}>
            {names[a.state]}
          </Badge>
          <Text size="sm" component="span">
            <Time at={a.toldAt ?? a.askedAt} />
          </Text>
          {a.reason && (
            <Text size="sm" component="span" className="wrap">
              {a.reason}
            </Text>
          )}
          {a.state === 'done' && a.fileID && (
            <Anchor size="sm" href={`/v1/products/${product}/devices/${encodeURIComponent(device)}/files/${encodeURIComponent(a.fileID)}/content`} download={`${device}-diagnosis.tar.gz`}>
              {t.bundle(a.size ? bytes(a.size) : '')}
            </Anchor>
          )}
        </>
      )}
    </Group>
  );
}
