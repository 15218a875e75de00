import { Alert, Button, Code, Group, Stack, Text } from '@mantine/core';
import { Component, type ErrorInfo, type ReactNode } from 'react';
import { Icon } from '../kit/icons';
import { words } from '../kit/text';

interface Props {
  /** Another one tries again: the address of the page. */
  at: string;
  children: ReactNode;
}

/** ErrorBoundary keeps a fault of one page to that page. */
export class ErrorBoundary extends Component<Props, { error: Error | null; at: string }> {
  state = { error: null as Error | null, at: this.props.at };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  static getDerivedStateFromProps(props: Props, state: { at: string }) {
    return props.at === state.at ? null : { error: null, at: props.at };
  }

  componentDidCatch(error: Error, info: ErrorInfo) {
    console.error(error, info.componentStack);
  }

  render() {
    return this.state.error ? <Crash error={this.state.error} /> : this.props.children;
  }
}

function Crash({ error }: { error: Error }) {
  const t = words.use();
  return (
    <Alert color="red" title={t.crash} icon={<Icon name="warning" />} role="alert">
      <Stack gap="sm">
        <Text size="sm">{t.crashMore}</Text>
        <Code block className="wrap">
          {String(error.message || error)}
        </Code>
        <Group>
          <Button size="xs" onClick={() => location.reload()}>
            {t.reload}
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}
