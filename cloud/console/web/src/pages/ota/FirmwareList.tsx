import { ActionIcon, Badge, Button, Group } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { CopyText } from '../../kit/CopyText';
import { fileName } from '../../kit/csv';
import { useAct } from '../../kit/data';
import { bytes } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Time } from '../../kit/Time';
import { words } from './text';
import { UploadForm } from './UploadForm';

type Item = Schemas['Firmware'];

const nameOf = (f: Item) => `${f.module} ${f.version}`;

/** FirmwareList is the firmware of a product that can be brought to devices. */
export function FirmwareList({ product }: { product: string }) {
  const t = words.use();
  const { may } = useSession();
  const [removing, setRemoving] = useState<Item | null>(null);
  const path = { productSN: product };
  const removeOne = (f: Item) => take(api.DELETE('/v1/products/{productSN}/firmwares/{firmwareID}', { params: { path: { ...path, firmwareID: f.firmwareID } } }));
  const remove = useAct(removeOne, { keys: [['firmware', product]], done: t.removed });
  const writes = may('firmware.write', product);
  const columns: Column<Item>[] = [
    { id: 'version', title: t.version, sort: 'version', cell: (f) => <b>{f.version}</b>, csv: (f) => f.version },
    { id: 'module', title: t.module, sort: 'module', cell: (f) => f.module, csv: (f) => f.module },
    { id: 'kind', title: t.kind, sort: 'signed', csv: (f) => (f.signed ? 'signed' : 'plain'), cell: (f) => <Badge variant="light" color={f.signed ? 'green' : 'gray'} className="badge">{f.signed ? t.release : t.plain}</Badge> },
    { id: 'size', title: t.size, sort: 'size', cell: (f) => <span className="nowrap">{bytes(f.size)}</span>, csv: (f) => f.size },
    { id: 'needs', title: t.needs, cell: (f) => f.needs, csv: (f) => f.needs },
    { id: 'description', title: t.description, cell: (f) => f.description, csv: (f) => f.description },
    { id: 'sum', title: t.digest, cell: (f) => <CopyText value={f.sha256} />, csv: (f) => f.sha256 },
    { id: 'id', title: t.id, hidden: true, cell: (f) => <CopyText value={f.firmwareID} />, csv: (f) => f.firmwareID },
    { id: 'created', title: t.created, sort: 'created', cell: (f) => <Time at={f.createdAt} />, csv: (f) => f.createdAt },
    {
      id: 'do',
      title: t.actions,
      cell: (f) => (
        <Group gap={4} wrap="nowrap">
          <ActionIcon component="a" variant="subtle" color="gray" aria-label={t.downloadOne(nameOf(f))} href={`/v1/products/${product}/firmwares/${f.firmwareID}/content`} download={fileName(`${f.module}-${f.version}.bin`)}>
            <Icon name="download" size={16} />
          </ActionIcon>
          {writes && (
            <ActionIcon component={Link} variant="subtle" color="gray" aria-label={t.bringOne(nameOf(f))} href={`/ota/new?product=${product}&firmware=${f.firmwareID}`}>
              <Icon name="play" size={16} />
            </ActionIcon>
          )}
          {writes && (
            <ActionIcon variant="subtle" color="red" aria-label={t.removeOne(nameOf(f))} onClick={() => setRemoving(f)}>
              <Icon name="trash" size={16} />
            </ActionIcon>
          )}
        </Group>
      ),
    },
  ];
  return (
    <>
      <ListPage<Item>
        name="firmware"
        about={[product]}
        columns={columns}
        rowKey={(f) => f.firmwareID}
        empty={t.noFirmware}
        filter={{ placeholder: 'version:2* signed:yes size>1000000' }}
        load={(q) => take(api.GET('/v1/products/{productSN}/firmwares', { params: { path, query: asked(q) }, signal: q.signal }))}
        bulk={
          writes
            ? (rows, clear) => (
                <BulkButtons rows={rows} clear={clear} lists={['firmware']} name={nameOf} acts={[{ label: t.remove, sure: t.removeMany, act: removeOne }]} />
              )
            : undefined
        }
      />
      <ConfirmDialog opened={removing !== null} onClose={() => setRemoving(null)} title={t.remove} action={t.remove} name={removing?.version} busy={remove.isPending} onConfirm={() => removing && remove.mutate(removing, { onSettled: () => setRemoving(null) })}>
        {removing && t.removeSure(nameOf(removing))}
      </ConfirmDialog>
    </>
  );
}

export function FirmwareButtons({ product, kind }: { product: string; kind?: 'release' }) {
  const t = words.use();
  const { may } = useSession();
  const [opened, setOpened] = useState(false);
  if (!may('firmware.write', product)) return null;
  return (
    <>
      <Button leftSection={<Icon name="upload" />} onClick={() => setOpened(true)}>
        {t.upload}
      </Button>
      {opened && <UploadForm product={product} kind={kind} onClose={() => setOpened(false)} />}
    </>
  );
}
