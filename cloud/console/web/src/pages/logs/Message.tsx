import { Alert, Button, Stack } from '@mantine/core';
import { useParams } from 'wouter';
import { api, take } from '../../api/client';
import { useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { Empty, Page, Ready } from '../../kit/Page';
import { keyOf } from './filter';
import { RecordView } from './RecordView';
import { words } from './text';

/** The whole way of one message: what devices, rules and targets did with it. */
export default function OneMessage() {
  const t = words.use();
  const { message: id = '' } = useParams<{ message: string }>();
  const read = useRead(['message', id], (signal) => take(api.GET('/v1/messages/{messageID}', { params: { path: { messageID: id } }, signal })));
  return (
    <Page
      title={t.messageNo(id)}
      trail={[[t.title, '/logs']]}
      actions={
        <Button variant="default" leftSection={<Icon name="refresh" />} loading={read.isFetching} onClick={() => void read.refetch()}>
          {t.refresh}
        </Button>
      }
    >
      <Ready of={read}>
        {(list) => (
          <Stack>
            {list.missing && list.missing.length > 0 && <Alert color="yellow">{t.missing(list.missing.join(', '))}</Alert>}
            {list.damaged && <Alert color="yellow">{t.damaged}</Alert>}
            {list.items.length === 0 && <Empty>{t.noMessage}</Empty>}
            {list.items.map((r, i) => (
              <RecordView key={keyOf(r) + i} record={r} />
            ))}
          </Stack>
        )}
      </Ready>
    </Page>
  );
}
