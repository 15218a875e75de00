import { Badge, Button, Group, Text } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { CopyText } from '../../kit/CopyText';
import { bytes, numeral } from '../../kit/i18n';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Time } from '../../kit/Time';
import { Roots } from './Roots';
import { words } from './text';
import { UploadForm } from './UploadForm';

type Release = Schemas['Release'];

const colours: Record<Release['state'], string> = { missing: 'yellow', making: 'blue', ready: 'green', failed: 'red' };

/** Releases are the signed ones of a product with the files that the hub makes of them, those too whose images are still to be sent; and what they are held to. */
export function Releases({ product }: { product: string }) {
  const t = words.use();
  const { may } = useSession();
  const [sending, setSending] = useState<Release>();
  const names: Record<Release['state'], string> = { missing: t.releaseMissing, making: t.releaseMaking, ready: t.releaseReady, failed: t.releaseFailed };
  const writes = may('firmware.write', product);
  const state = (r: Release) => (
    <Group gap="xs" wrap="nowrap">
      <Badge variant="light" className="badge" color={colours[r.state]} data-release={r.state}>
        {names[r.state]}
      </Badge>
      {r.missing.length > 0 && writes && (
        <Button size="compact-sm" variant="default" onClick={() => setSending(r)}>
          {t.sendImages}
        </Button>
      )}
    </Group>
  );
  const columns: Column<Release>[] = [
    { id: 'version', title: t.version, sort: 'version', cell: (r) => <b>{r.version}</b>, csv: (r) => r.version },
    { id: 'module', title: t.module, sort: 'module', cell: (r) => r.module, csv: (r) => r.module },
    { id: 'sequence', title: t.sequence, sort: 'sequence', cell: (r) => numeral(r.sequence), csv: (r) => r.sequence },
    { id: 'state', title: t.status, sort: 'ready', cell: state, csv: (r) => r.state },
    { id: 'root', title: t.signature, sort: 'root', cell: (r) => <span className="nowrap">{t.heldTo(numeral(r.root))}</span>, csv: (r) => r.root },
    { id: 'files', title: t.files, cell: (r) => <Files of={r.files} />, csv: (r) => r.files.map(fileText).join('; ') },
    { id: 'description', title: t.description, hidden: true, cell: (r) => r.description, csv: (r) => r.description },
    { id: 'digest', title: t.manifestDigest, hidden: true, cell: (r) => <CopyText value={r.digest} shown={r.digest.slice(0, 12)} />, csv: (r) => r.digest },
    { id: 'created', title: t.created, sort: 'created', cell: (r) => <Time at={r.createdAt} />, csv: (r) => r.createdAt },
  ];
  return (
    <>
      <ListPage<Release>
        name="releases"
        about={[product]}
        columns={columns}
        rowKey={(r) => r.releaseID}
        empty={t.noReleases}
        filter={{ placeholder: 'version:2* ready:no sequence>10' }}
        load={(q) => take(api.GET('/v1/products/{productSN}/releases', { params: { path: { productSN: product }, query: asked(q) }, signal: q.signal }))}
      />
      <Roots product={product} />
      {sending && <UploadForm product={product} release={sending} onClose={() => setSending(undefined)} />}
    </>
  );
}

type File = Release['files'][number];

const fileText = (f: File) => `${f.component} ${f.kind}: ${f.reason || f.state}${f.size ? ` ${bytes(f.size)}` : ''}`;

function Files({ of }: { of: File[] }) {
  return of.map((f) => (
    <Text key={`${f.component} ${f.kind} ${f.base ?? ''}`} size="sm" className={f.reason ? undefined : 'nowrap'}>
      {fileText(f)}
    </Text>
  ));
}
