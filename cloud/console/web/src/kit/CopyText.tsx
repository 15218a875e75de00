import { ActionIcon, Code, CopyButton, Group, Tooltip } from '@mantine/core';
import { Icon } from './icons';
import { words } from './text';

/** CopyText is a value that people take elsewhere: with a button that copies it. */
export function CopyText({ value, shown = value }: { value: string; shown?: string }) {
  const t = words.use();
  return (
    <Group gap={4} wrap="nowrap" display="inline-flex">
      <Code className="wrap">{shown}</Code>
      <CopyButton value={value}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? t.copied : t.copy}>
            <ActionIcon variant="subtle" color={copied ? 'teal' : 'gray'} size="sm" onClick={copy} aria-label={copied ? t.copied : t.copy}>
              <Icon name={copied ? 'check' : 'copy'} size={14} />
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Group>
  );
}
