import { ActionIcon, Alert, Button, FileButton, Group, Stack, Table, Text, Title } from '@mantine/core';
import { raw, api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { CopyText } from '../../kit/CopyText';
import { saveAs } from '../../kit/csv';
import { useAct, useRead } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { words } from './rootText';

type Root = Schemas['Root'];

/** Roots are the root documents of a product, the newest first: which keys sign its releases and the hub's assignments. */
export function Roots({ product }: { product: string }) {
  const t = words.use();
  const { may } = useSession();
  const read = useRead(['roots', product], (signal) => take(api.GET('/v1/products/{productSN}/roots', { params: { path: { productSN: product } }, signal })));
  const add = useAct((file: File) => raw('POST', `/v1/products/${product}/roots`, { body: file, type: 'application/octet-stream' }), { keys: [['roots', product]], done: t.added });
  return (
    <Stack gap="xs" component="section" aria-label={t.title}>
      <Group justify="space-between" align="flex-end">
        <div className="grow">
          <Title order={2} size="h4">
            {t.title}
          </Title>
          <Text size="sm" c="dimmed">
            {t.hint}
          </Text>
        </div>
        {may('firmware.write', product) && (
          <Group gap="xs" wrap="nowrap">
            <DirectorKey />
            <FileButton onChange={(f) => f && add.mutate(f)}>
              {(props) => (
                <Button {...props} variant="default" size="xs" leftSection={<Icon name="upload" size={14} />} loading={add.isPending}>
                  {t.add}
                </Button>
              )}
            </FileButton>
          </Group>
        )}
      </Group>
      <Ready of={read}>
        {({ items, warning }) => (
          <>
            {warning && (
              <Alert color="yellow" icon={<Icon name="warning" />} title={t.notDirected}>
                {t.notDirectedMore}
              </Alert>
            )}
            {items.length === 0 ? (
              <Text size="sm" c="dimmed">
                {t.none}
              </Text>
            ) : (
              <List items={[...items].reverse()} product={product} />
            )}
          </>
        )}
      </Ready>
    </Stack>
  );
}

function List({ items, product }: { items: Root[]; product: string }) {
  const t = words.use();
  return (
    <Table.ScrollContainer minWidth={640} type="native" tabIndex={0} role="region" aria-label={t.title}>
      <Table data-list="roots">
        <Table.Thead>
          <Table.Tr>
            {[t.version, t.rootKeys, t.releaseKeys, t.directorKeys, t.issued, t.ends, t.file].map((title) => (
              <Table.Th key={title} className="nowrap">
                {title}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items.map((r) => (
            <Table.Tr key={r.version}>
              <Table.Td>{numeral(r.version)}</Table.Td>
              {(['root', 'release', 'director'] as const).map((role) => (
                <Table.Td key={role} className="cell">
                  <Text size="xs" c="dimmed">
                    {t.threshold(numeral(r[role].threshold), numeral(r[role].keyIDs.length))}
                  </Text>
                  {r[role].keyIDs.map((id) => (
                    <CopyText key={id} value={id} shown={id.slice(0, 12)} />
                  ))}
                </Table.Td>
              ))}
              <Table.Td>
                <Time at={r.issuedAt} />
              </Table.Td>
              <Table.Td>{r.notAfter ? <Time at={r.notAfter} exact /> : t.never}</Table.Td>
              <Table.Td>
                <ActionIcon variant="subtle" color="gray" aria-label={t.download(numeral(r.version))} onClick={() => saveAs(`${product}-root-${r.version}.json`, [bytesOf(r.document)], 'application/octet-stream')}>
                  <Icon name="download" size={16} />
                </ActionIcon>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** DirectorKey saves the hub's public key, which a root document must have. */
function DirectorKey() {
  const t = words.use();
  const get = useAct(() => take(api.GET('/v1/director')));
  return (
    <Button variant="default" size="xs" leftSection={<Icon name="download" size={14} />} loading={get.isPending} onClick={() => get.mutate(undefined, { onSuccess: (k) => saveAs('director.pub', [k.publicKey], 'text/plain') })}>
      {t.director}
    </Button>
  );
}
