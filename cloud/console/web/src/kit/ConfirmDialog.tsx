import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useState, type ReactNode } from 'react';
import { words } from './text';

export interface ConfirmProps {
  opened: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  /** The words on the button that does it. */
  action: string;
  /** What has to be typed first, for what cannot be undone. */
  name?: string;
  busy?: boolean;
  onConfirm: () => void;
}

/** ConfirmDialog asks before something is done; what is dangerous wants the thing's name typed. */
export function ConfirmDialog({ opened, onClose, title, children, action, name, busy, onConfirm }: ConfirmProps) {
  const t = words.use();
  const [typed, setTyped] = useState('');
  const ready = name === undefined || typed === name;
  const close = () => {
    setTyped('');
    onClose();
  };
  return (
    <Modal opened={opened} onClose={close} title={title} closeButtonProps={{ 'aria-label': t.close }} centered>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          if (!ready) return;
          setTyped('');
          onConfirm();
        }}
      >
        <Stack>
          <Text size="sm" component="div" className="wrap">
            {children}
          </Text>
          {name !== undefined && <TextInput data-autofocus label={t.typeName(name)} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} autoComplete="off" spellCheck={false} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              {t.cancel}
            </Button>
            <Button type="submit" color={name === undefined ? undefined : 'red'} disabled={!ready} loading={busy}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
