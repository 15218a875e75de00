import { ActionIcon, Anchor, Group } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { fileName } from '../../kit/csv';
import { useAct } from '../../kit/data';
import { bytes, dictionary } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { ListPage, type Column } from '../../kit/ListPage';
import { Time } from '../../kit/Time';

const words = dictionary({
  en: { name: 'File', size: 'Size', type: 'Type', received: 'Received', expires: 'Kept until', none: 'The device has sent no files', remove: (n: string) => `Delete ${n}`, removeTitle: 'Delete the file', removed: 'Deleted', sure: (n: string) => `${n} is deleted for good.` },
  zh: { name: '文件', size: '大小', type: '类型', received: '接收时间', expires: '保留至', none: '设备未发送文件', remove: (n: string) => `删除 ${n}`, removeTitle: '删除文件', removed: '已删除', sure: (n: string) => `${n} 将被永久删除。` },
});

type File = Schemas['File'];

export default function Files({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const { may } = useSession();
  const [asked, setAsked] = useState<File | null>(null);
  const { productSN, deviceSN } = device;
  const base = `/v1/products/${productSN}/devices/${encodeURIComponent(deviceSN)}/files`;
  const remove = useAct((f: File) => take(api.DELETE('/v1/products/{productSN}/devices/{deviceSN}/files/{fileID}', { params: { path: { productSN, deviceSN, fileID: f.fileID } } })), {
    keys: [['files', productSN, deviceSN]],
    done: t.removed,
  });
  const columns: Column<File>[] = [
    {
      id: 'name',
      title: t.name,
      cell: (f) => (
        <Anchor href={`${base}/${encodeURIComponent(f.fileID)}/content`} download={fileName(f.name)} className="wrap">
          {f.name}
        </Anchor>
      ),
      csv: (f) => f.name,
    },
    { id: 'size', title: t.size, cell: (f) => bytes(f.size), csv: (f) => f.size },
    { id: 'type', title: t.type, cell: (f) => f.contentType, csv: (f) => f.contentType },
    { id: 'md5', title: 'MD5', hidden: true, cell: (f) => f.md5, csv: (f) => f.md5 },
    { id: 'received', title: t.received, cell: (f) => <Time at={f.receivedAt} />, csv: (f) => f.receivedAt },
    { id: 'expires', title: t.expires, cell: (f) => f.expiresAt && <Time at={f.expiresAt} />, csv: (f) => f.expiresAt },
    {
      id: 'do',
      title: '',
      cell: (f) =>
        may('device.write', productSN) && (
          <Group justify="flex-end">
            <ActionIcon variant="subtle" color="red" aria-label={t.remove(f.name)} onClick={() => setAsked(f)}>
              <Icon name="trash" size={16} />
            </ActionIcon>
          </Group>
        ),
    },
  ];
  return (
    <>
      <ListPage<File>
        name="files"
        about={[productSN, deviceSN]}
        columns={columns}
        rowKey={(f) => f.fileID}
        empty={t.none}
        load={({ cursor, limit, signal }) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/files', { params: { path: { productSN, deviceSN }, query: { cursor: cursor || undefined, limit } }, signal }))}
      />
      <ConfirmDialog opened={asked !== null} onClose={() => setAsked(null)} title={t.removeTitle} action={t.removeTitle} busy={remove.isPending} onConfirm={() => asked && remove.mutate(asked, { onSettled: () => setAsked(null) })}>
        {asked && t.sure(asked.name)}
      </ConfirmDialog>
    </>
  );
}
