import { Button, Stack, Table, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { Link, useLocation, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { CopyText } from '../../kit/CopyText';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { bytes, numeral } from '../../kit/i18n';
import { Page, Ready } from '../../kit/Page';
import { Payload } from '../../kit/Payload';
import { Time } from '../../kit/Time';
import { words } from './text';

/** One dead letter: what it is, why it was given up, and where it came from. */
export default function OneLetter() {
  const t = words.use();
  const { may } = useSession();
  const [, go] = useLocation();
  const { letter: id = '' } = useParams<{ letter: string }>();
  const params = { path: { letterID: id } };
  const read = useRead(['dead-letter', id], (signal) => take(api.GET('/v1/dead-letters/{letterID}', { params, signal })));
  const replay = useAct(() => take(api.POST('/v1/dead-letters/{letterID}/replay', { params })), { keys: [['dead-letters'], ['rule-stats']], done: t.replayed });
  const [asked, setAsked] = useState(false);
  const remove = useAct(() => take(api.DELETE('/v1/dead-letters/{letterID}', { params })), { keys: [['dead-letters'], ['rule-stats']], done: t.removed });
  return (
    <Page
      title={t.deadLetter(id)}
      trail={[
        [t.title, '/rules'],
        [t.deadLetters, '/rules/dead-letters'],
      ]}
      actions={
        read.data &&
        may('rule.write') && (
          <>
            <Button variant="default" c="red" loading={remove.isPending} onClick={() => setAsked(true)}>
              {t.remove}
            </Button>
            <Button loading={replay.isPending} onClick={() => replay.mutate(undefined, { onSuccess: () => go('/rules/dead-letters') })}>
              {t.replay}
            </Button>
          </>
        )
      }
    >
      <Ready of={read}>{(l) => <Detail letter={l} />}</Ready>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.removeLetters(1)} action={t.remove} busy={remove.isPending} onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/rules/dead-letters'), onError: () => setAsked(false) })}>
        {t.lettersGone}
      </ConfirmDialog>
    </Page>
  );
}

function Detail({ letter: l }: { letter: Schemas['DeadLetter'] }) {
  const t = words.use();
  return (
    <Stack>
      <Facts
        of={[
          [t.rule, <Link className="row-link" key="r" href={`/rules/${l.ruleID}`}>{l.ruleName}</Link>],
          [t.action, l.actionKind],
          [t.device, <Link className="row-link" key="d" href={`/devices/${l.productSN}/${encodeURIComponent(l.deviceSN)}`}>{l.deviceSN}</Link>],
          [t.topic, l.topic],
          [t.message, <Link className="row-link" key="m" href={`/logs/${l.traceId}`}>{l.traceId}</Link>],
          [t.key, <CopyText key="k" value={l.key} />],
          [t.taken, <Time key="t" at={l.time} exact />],
          [t.givenUp, <Time key="f" at={l.failedAt} exact />],
          [t.attempts, numeral(l.attempts)],
        ]}
      />
      <Title order={2} size="h4">
        {t.failures}
      </Title>
      <Table aria-label={t.failures}>
        <Table.Tbody>
          {l.failures.map((f, i) => (
            <Table.Tr key={i}>
              <Table.Td>
                <Time at={f.time} exact />
              </Table.Td>
              <Table.Td className="wrap">{f.error}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Title order={2} size="h4">
        {t.resultOf}
      </Title>
      <Payload base64={l.base64Payload} label={t.resultOf} />
      <Title order={2} size="h4">
        {t.madeOf}
      </Title>
      <Origin of={l.message} />
    </Stack>
  );
}

/** Origin is the message that the result was made of, as far as the message log has it. */
function Origin({ of: m }: { of?: Schemas['DeadLetterMessage'] }) {
  const t = words.use();
  if (!m) {
    return (
      <Text size="sm" c="dimmed">
        {t.noMessage}
      </Text>
    );
  }
  const marks = [`QoS ${m.qos}`, bytes(m.size), m.truncated && t.truncated, m.masked && t.masked];
  return (
    <Stack gap="xs" data-origin>
      <Text size="sm" c="dimmed">
        {marks.filter(Boolean).join(' · ')}
      </Text>
      <Payload base64={m.base64Payload} label={t.madeOf} />
    </Stack>
  );
}
