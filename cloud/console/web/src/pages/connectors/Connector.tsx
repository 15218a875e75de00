import { Alert, Button, Stack, Table, Text, Title } from '@mantine/core';
import { useState } from 'react';
import { Link, useLocation, useParams } from 'wouter';
import { api, tagged, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { Icon } from '../../kit/icons';
import { Page, Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { ConnectorForm } from './ConnectorForm';
import { Health } from './ConnectorList';
import { kindName } from './kinds';
import { words } from './text';

type Connector = Schemas['Connector'];

export default function OneConnector() {
  const t = words.use();
  const { connector: id = '' } = useParams<{ connector: string }>();
  if (id === 'new') {
    return (
      <Page title={t.create} trail={[[t.title, '/connectors']]}>
        <ConnectorForm />
      </Page>
    );
  }
  return <Stored id={id} />;
}

function Stored({ id }: { id: string }) {
  const t = words.use();
  const read = useRead(['connector', id], (signal) => tagged(api.GET('/v1/connectors/{connectorID}', { params: { path: { connectorID: id } }, signal })));
  const c = read.data?.body;
  return (
    <Page title={c?.name ?? id} trail={[[t.title, '/connectors']]} badge={c && <Health of={c.status} />} actions={c && <Remove connector={c} />}>
      <Ready of={read}>
        {({ body, etag }) => (
          <Stack gap="lg">
            <State connector={body} />
            <Users connector={body} />
            <div>
              <Title order={2} size="h4" mb="sm">
                {t.settings}
              </Title>
              <ConnectorForm key={body.revision} connector={body} etag={etag} />
            </div>
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

function Remove({ connector }: { connector: Connector }) {
  const t = words.use();
  const { may } = useSession();
  const [, go] = useLocation();
  const [asked, setAsked] = useState(false);
  const remove = useAct(() => take(api.DELETE('/v1/connectors/{connectorID}', { params: { path: { connectorID: connector.id } } })), { keys: [['connectors']], done: t.removed });
  if (!may('rule.write')) return null;
  return (
    <>
      <Button variant="default" c="red" leftSection={<Icon name="trash" />} onClick={() => setAsked(true)}>
        {t.remove}
      </Button>
      <ConfirmDialog
        opened={asked}
        onClose={() => setAsked(false)}
        title={t.remove}
        action={t.remove}
        name={connector.name}
        busy={remove.isPending}
        onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/connectors'), onError: () => setAsked(false) })}
      >
        {t.removeSure(connector.name)}
      </ConfirmDialog>
    </>
  );
}

function State({ connector: c }: { connector: Connector }) {
  const t = words.use();
  return (
    <Stack gap="sm">
      <Facts
        of={[
          [t.kind, kindName(c.kind)],
          [t.description, c.description],
          [t.since, c.status.state !== 'unused' && <Time key="s" at={c.status.since} />],
          [t.updated, <Time key="u" at={c.updatedAt} />],
        ]}
      />
      {c.status.lastError && (
        <Alert color={c.status.state === 'disconnected' ? 'red' : 'gray'} title={t.lastError}>
          <Text size="sm" className="wrap">
            {c.status.lastError}
          </Text>
          <Text size="xs" c="dimmed">
            <Time at={c.status.lastErrorAt} />
          </Text>
        </Alert>
      )}
    </Stack>
  );
}

/** Users is where the connector is used: the actions, as the hub knows them. */
function Users({ connector }: { connector: Connector }) {
  const t = words.use();
  const read = useRead(['connector', connector.id, 'uses'], (signal) => take(api.GET('/v1/connectors/{connectorID}/uses', { params: { path: { connectorID: connector.id } }, signal })));
  const roles = { action: t.roleAction, errorAction: t.roleError, fallback: t.roleFallback };
  return (
    <div>
      <Title order={2} size="h4" mb="xs">
        {t.usedBy}
      </Title>
      <Ready of={read}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm" c="dimmed">
              {t.unusedHint}
            </Text>
          ) : (
            <Table aria-label={t.usedBy} maw={640} data-list="uses">
              <Table.Tbody>
                {items.map((u) => (
                  <Table.Tr key={u.actionID}>
                    <Table.Td>
                      <Link href={`/rules/${u.ruleID}`} className="row-link">
                        {u.ruleName}
                      </Link>
                    </Table.Td>
                    <Table.Td>{`${roles[u.role]} (${u.kind})`}</Table.Td>
                    <Table.Td>{u.enabled ? t.on : t.off}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )
        }
      </Ready>
    </div>
  );
}
