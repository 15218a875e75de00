import { Button, FileInput, Group, Modal, Progress, SegmentedControl, Stack, Text, TextInput } from '@mantine/core';
import { useEffect, useRef, useState } from 'react';
import type { Schemas } from '../../api/client';
import { useAct } from '../../kit/data';
import { bytes } from '../../kit/i18n';
import { words as kitWords } from '../../kit/text';
import { digestOf, send } from './upload';
import { words } from './text';

/** UploadForm adds a plain file or a signed release; what the hub received is held to what this browser has read. */
export function UploadForm({ product, release, kind: first = release ? 'release' : 'plain', onClose }: { product: string; release?: Schemas['Release']; kind?: 'plain' | 'release'; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [kind, setKind] = useState<string>(first);
  return (
    <Modal opened onClose={onClose} title={t.upload} closeButtonProps={{ 'aria-label': kit.close }} centered size="lg">
      <Stack>
        {!release && (
          <SegmentedControl
            aria-label={t.kind}
            value={kind}
            onChange={setKind}
            data={[
              { value: 'plain', label: t.plain },
              { value: 'release', label: t.release },
            ]}
          />
        )}
        {kind === 'plain' ? <Plain product={product} onClose={onClose} /> : <Release product={product} begun={release} onClose={onClose} />}
      </Stack>
    </Modal>
  );
}

/** useSending keeps how much is out, and stops when the form is closed. */
function useSending() {
  const [part, setPart] = useState<number | null>(null);
  const end = useRef<AbortController>(null);
  useEffect(() => () => end.current?.abort(), []);
  return {
    part,
    async send<T>(method: string, path: string, file: File): Promise<T> {
      end.current = new AbortController();
      setPart(0);
      try {
        return await send<T>(method, path, file, setPart, end.current.signal);
      } finally {
        setPart(null);
      }
    },
  };
}

function Sent({ part, size }: { part: number | null; size: number }) {
  const t = words.use();
  if (part === null) return null;
  return (
    <Stack gap={4}>
      <Progress value={100 * part} aria-label={t.progress} />
      <Text size="sm">{t.uploading(`${bytes(part * size)} / ${bytes(size)}`)}</Text>
    </Stack>
  );
}

function Buttons({ onClose, ready, busy }: { onClose: () => void; ready: boolean; busy: boolean }) {
  const t = words.use();
  const kit = kitWords.use();
  return (
    <Group justify="flex-end">
      <Button variant="default" onClick={onClose}>
        {kit.cancel}
      </Button>
      <Button type="submit" disabled={!ready} loading={busy}>
        {t.upload}
      </Button>
    </Group>
  );
}

function Plain({ product, onClose }: { product: string; onClose: () => void }) {
  const t = words.use();
  const [file, setFile] = useState<File | null>(null);
  const [sum, setSum] = useState<string>();
  const [about, setAbout] = useState({ version: '', module: '', description: '', needs: '' });
  const sending = useSending();
  const add = useAct(
    async () => {
      const query = new URLSearchParams(Object.entries(about).filter(([, v]) => v !== ''));
      const made = await sending.send<Schemas['Firmware']>('POST', `/v1/products/${product}/firmwares?${query}`, file!);
      if (sum && made.sha256 !== sum) throw new Error(t.wrongSum);
      return made;
    },
    { keys: [['firmware', product]], done: sum ? t.added : t.addedUnchecked },
  );
  const field = (name: keyof typeof about) => ({ value: about[name], onChange: (e: { currentTarget: { value: string } }) => setAbout({ ...about, [name]: e.currentTarget.value.trimStart() }) });
  const chosen = useRef<File>(null);
  async function choose(f: File | null) {
    chosen.current = f;
    setFile(f);
    setSum(undefined);
    const now = f ? await digestOf(f) : undefined;
    if (chosen.current === f) setSum(now); // meanwhile another one may have been chosen
  }
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        if (file) add.mutate(undefined, { onSuccess: onClose });
      }}
    >
      <Stack>
        <FileInput label={t.file} required value={file} onChange={(f) => void choose(f)} />
        {sum && (
          <Text size="xs" c="dimmed" className="wrap">
            {t.sums}: {sum}
          </Text>
        )}
        <Group grow align="flex-start">
          <TextInput label={t.version} description={t.versionHint} required pattern="[A-Za-z0-9._\-]{1,32}" spellCheck={false} {...field('version')} />
          <TextInput label={t.module} description={t.moduleHint} pattern="[A-Za-z0-9._\-]{1,32}" spellCheck={false} {...field('module')} />
        </Group>
        <TextInput label={t.description} {...field('description')} />
        <TextInput label={t.needs} description={t.needsHint} pattern="[A-Za-z0-9._\-]{1,32}" spellCheck={false} {...field('needs')} />
        <Sent part={sending.part} size={file?.size ?? 0} />
        <Buttons onClose={onClose} ready={file !== null && about.version !== ''} busy={add.isPending} />
      </Stack>
    </form>
  );
}

/** Release sends a manifest, which the hub holds to the product's root document, and then the images that it has not. */
function Release({ product, begun, onClose }: { product: string; begun?: Schemas['Release']; onClose: () => void }) {
  const t = words.use();
  const [manifest, setManifest] = useState<File | null>(null);
  const [release, setRelease] = useState(begun);
  const [images, setImages] = useState<Record<string, File | null>>({});
  const [size, setSize] = useState(0);
  const sending = useSending();
  const base = `/v1/products/${product}/releases`;
  const missing = release?.missing ?? [];
  const add = useAct(
    async () => {
      let now = release;
      if (!now) {
        setSize(manifest!.size);
        now = await sending.send<Schemas['Release']>('POST', base, manifest!);
        setRelease(now);
        return now;
      }
      for (const component of missing) {
        const file = images[component];
        if (!file) continue;
        setSize(file.size);
        now = await sending.send<Schemas['Release']>('PUT', `${base}/${now.releaseID}/images/${encodeURIComponent(component)}`, file);
        setRelease(now);
      }
      return now;
    },
    { keys: [['firmware', product], ['releases', product]], done: (r) => (r.missing.length === 0 ? t.addedUnchecked : '') },
  );
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        add.mutate(undefined, { onSuccess: (r) => r.missing.length === 0 && onClose() });
      }}
    >
      <Stack>
        {!begun && <FileInput label={t.manifest} description={t.manifestHint} required disabled={release !== undefined} value={manifest} onChange={setManifest} />}
        {missing.map((c) => (
          <FileInput key={c} label={t.image(c)} required value={images[c] ?? null} onChange={(f) => setImages({ ...images, [c]: f })} />
        ))}
        <Sent part={sending.part} size={size} />
        <Buttons onClose={onClose} ready={release ? missing.every((c) => images[c]) : manifest !== null} busy={add.isPending} />
      </Stack>
    </form>
  );
}
