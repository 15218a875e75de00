import { Alert, Button, Group, Progress, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { api, raw, take, type Schemas } from '../api/client';
import { saveAs } from './csv';
import { useAct } from './data';
import { dictionary, numeral } from './i18n';
import { Icon } from './icons';
import { useStream } from './stream';
import { toastProblem } from './toast';

const words = dictionary({
  en: {
    queued: 'It waits for its turn',
    running: 'It runs',
    done: 'It is done',
    dryDone: 'That is what would be done; nothing was changed',
    failed: 'It failed',
    cancelled: 'It was stopped',
    rows: (ok: string, bad: string) => `${ok} well, ${bad} failed`,
    left: (s: string) => `${s} s to go`,
    stop: 'Stop it',
    result: 'Download the result',
    progress: 'Progress',
  },
  zh: {
    queued: '排队中',
    running: '运行中',
    done: '已完成',
    dryDone: '以上是将会执行的内容;未作任何更改',
    failed: '失败',
    cancelled: '已停止',
    rows: (ok: string, bad: string) => `成功 ${ok},失败 ${bad}`,
    left: (s: string) => `还需 ${s} 秒`,
    stop: '停止',
    result: '下载结果',
    progress: '进度',
  },
});

export type Job = Schemas['Job'];

export const jobEnded = (j: Job) => j.state === 'done' || j.state === 'failed' || j.state === 'cancelled';

/** JobView follows a job to its end, and has its result to download. */
export function JobView({ job: first, onEnd }: { job: Job; onEnd?: (job: Job) => void }) {
  const t = words.use();
  const [job, setJob] = useState(first);
  const ended = jobEnded(job);
  useStream(ended ? null : `/v1/jobs/${encodeURIComponent(job.id)}/events`, (event) => {
    if (event.type !== 'job') return;
    const now = JSON.parse(event.data) as Job;
    setJob(now);
    if (jobEnded(now)) onEnd?.(now);
  });
  const cancel = useAct(() => take(api.POST('/v1/jobs/{jobID}/cancel', { params: { path: { jobID: job.id } } })));
  const colours = { queued: 'blue', running: 'blue', done: job.failed > 0 ? 'yellow' : 'teal', failed: 'red', cancelled: 'gray' };
  const rows = job.succeeded + job.failed;
  return (
    <Alert color={colours[job.state]} title={job.state === 'done' && job.dryRun ? t.dryDone : t[job.state]} role="status" data-job={job.state}>
      <Stack gap="xs">
        {job.total !== undefined && job.total > 0 && <Progress value={(100 * rows) / job.total} aria-label={t.progress} />}
        <Text size="sm">
          {t.rows(numeral(job.succeeded), numeral(job.failed))} {!ended && job.remainingSeconds !== undefined && `· ${t.left(numeral(job.remainingSeconds))}`}
        </Text>
        {Object.entries(job.errors ?? {}).map(([code, n]) => (
          <Text key={code} size="sm">
            {code}: {numeral(n)}
          </Text>
        ))}
        {job.error && <Text size="sm">{job.error}</Text>}
        <Group>
          {!ended && (
            <Button size="xs" variant="default" loading={cancel.isPending || job.cancelling} onClick={() => cancel.mutate(undefined)}>
              {t.stop}
            </Button>
          )}
          {ended && (
            <Button size="xs" variant="default" leftSection={<Icon name="download" size={14} />} onClick={() => void download(job)}>
              {t.result}
            </Button>
          )}
        </Group>
      </Stack>
    </Alert>
  );
}

async function download(job: Job) {
  try {
    const answer = await raw('GET', `/v1/jobs/${encodeURIComponent(job.id)}/result`);
    saveAs(`${job.kind}-${job.id}.csv`, [await answer.blob()], 'text/csv');
  } catch (err) {
    toastProblem(err);
  }
}
