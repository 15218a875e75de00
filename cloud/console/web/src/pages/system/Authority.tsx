import { Button, Checkbox, Code, Stack, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { CopyText } from '../../kit/CopyText';
import { saveAs } from '../../kit/csv';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { Page, Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { Status } from './Authorities';
import { words } from './text';

type CA = Schemas['CA'];

export default function OneAuthority() {
  const t = words.use();
  const { id = '' } = useParams<{ id: string }>();
  const read = useRead(['ca', id], (signal) => take(api.GET('/v1/cas/{caID}', { params: { path: { caID: id } }, signal })));
  const ca = read.data;
  return (
    <Page
      title={ca?.subject ?? id.slice(0, 12)}
      trail={[
        [t.title, '/system'],
        [t.cas, '/system/cas'],
      ]}
      badge={ca && <Status of={ca} />}
      actions={ca && <Actions of={ca} />}
    >
      <Ready of={read}>
        {(c) => (
          <Stack gap="lg">
            <Facts
              of={[
                [t.fingerprint, <CopyText key="f" value={c.id} />],
                [t.holding, numeral(c.holding ?? 0)],
                [t.created, <Time key="c" at={c.createdAt} exact />],
                [t.expires, <Time key="e" at={c.expiresAt} exact />],
                [t.retired, c.retiredAt && <Time key="r" at={c.retiredAt} exact />],
                [t.crl, c.crlPath && <CopyText key="l" value={new URL(c.crlPath, location.origin).href} />],
              ]}
            />
            <section>
              <Title order={2} size="h4" mb="xs">
                {t.certificate}
              </Title>
              <Code block tabIndex={0} aria-label={t.certificate}>
                {c.certificate}
              </Code>
            </section>
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

function Actions({ of: c }: { of: CA }) {
  const t = words.use();
  return (
    <>
      <Button variant="default" leftSection={<Icon name="download" />} onClick={() => saveAs(`ca-${c.id.slice(0, 12)}.pem`, [c.certificate], 'application/x-pem-file')}>
        {t.download}
      </Button>
      <Retire of={c} />
    </>
  );
}

/** Retire has a CA trusted no more; one of which certificates hold wants that said too. */
function Retire({ of: c }: { of: CA }) {
  const t = words.use();
  const { mayHub } = useSession();
  const [asked, setAsked] = useState(false);
  const [force, setForce] = useState(false);
  const holding = c.holding ?? 0;
  const retire = useAct(() => take(api.POST('/v1/cas/{caID}/retire', { params: { path: { caID: c.id } }, body: { force } })), { keys: [['cas'], ['ca']], done: t.retiredDone });
  if (!mayHub('ca.write') || c.status === 'issuing' || c.status === 'retired') return null;
  return (
    <>
      <Button variant="default" c="red" onClick={() => setAsked(true)}>
        {t.retire}
      </Button>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.retire} action={t.retire} name={c.id.slice(0, 8)} busy={retire.isPending} onConfirm={() => retire.mutate(undefined, { onSettled: () => setAsked(false) })}>
        <Stack gap="xs">
          <Text size="sm">{t.retireSure}</Text>
          {holding > 0 && <Checkbox label={t.force(numeral(holding))} checked={force} onChange={(e) => setForce(e.currentTarget.checked)} />}
        </Stack>
      </ConfirmDialog>
    </>
  );
}
