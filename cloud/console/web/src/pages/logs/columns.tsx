import { Text } from '@mantine/core';
import { Link } from 'wouter';
import { numeral, useLanguage } from '../../kit/i18n';
import type { Column } from '../../kit/ListPage';
import { momentOf, took, type Record } from './filter';
import { ResultBadge, useKindName } from './RecordView';
import { words } from './text';

/** useColumns are the columns of records, kept or live. */
export function useColumns(onOpen: (r: Record) => void): Column<Record>[] {
  const t = words.use();
  const kindName = useKindName();
  return [
    { id: 'time', title: t.time, csv: (r) => r.time, cell: (r) => <Opener record={r} onOpen={onOpen} /> },
    { id: 'kind', title: t.kind, cell: (r) => <span className="nowrap">{kindName(r)}</span>, csv: (r) => [r.kind, r.action].filter(Boolean).join(' ') },
    { id: 'result', title: t.result, cell: (r) => (r.kind === 'left_out' ? null : <ResultBadge result={r.result} />), csv: (r) => r.result },
    { id: 'product', title: t.product, hidden: true, cell: (r) => r.productSN, csv: (r) => r.productSN },
    { id: 'device', title: t.who, cell: (r) => <span className="nowrap">{r.deviceSN || r.application}</span>, csv: (r) => r.deviceSN || r.application },
    {
      id: 'what',
      title: t.what,
      csv: (r) => r.topic ?? reasonOf(r),
      cell: (r) =>
        r.kind === 'left_out' ? (
          <Text span size="sm" fs="italic">
            {t.leftOut(numeral(r.leftOut ?? 0))}
          </Text>
        ) : (
          <Text span size="sm" className="wrap" lineClamp={2}>
            {[r.topic, reasonOf(r)].filter(Boolean).join(' · ')}
          </Text>
        ),
    },
    {
      id: 'payload',
      title: t.payload,
      csv: (r) => r.payload ?? r.payloadBase64,
      cell: (r) => (
        <Text span size="xs" ff="monospace" className="wrap" lineClamp={2}>
          {r.payload ?? r.payloadBase64}
        </Text>
      ),
    },
    { id: 'took', title: t.took, cell: (r) => <span className="nowrap">{took(r.microseconds)}</span>, csv: (r) => r.microseconds },
    { id: 'size', title: t.size, hidden: true, cell: (r) => r.size, csv: (r) => r.size },
    { id: 'message', title: t.message, hidden: true, cell: (r) => r.messageID, csv: (r) => r.messageID },
    { id: 'node', title: t.node, hidden: true, cell: (r) => r.node, csv: (r) => r.node },
  ];
}

/** reasonOf is why a record did not go as it should, or what its only hop says. */
function reasonOf(r: Record): string {
  const bad = r.hops?.find((h) => h.result === 'refused' || h.result === 'failed');
  const hop = bad ?? (r.hops?.length === 1 ? r.hops[0] : undefined);
  return [hop?.reason, !bad && hop?.detail].filter(Boolean).join(' ');
}

/** Opener leads to the message's whole way, or shows a record that is of no message. */
function Opener({ record: r, onOpen }: { record: Record; onOpen: (r: Record) => void }) {
  useLanguage();
  const text = momentOf(r.time);
  if (r.messageID) {
    return (
      <Link href={`/logs/${r.messageID}`} className="row-link">
        {text}
      </Link>
    );
  }
  if (r.kind === 'left_out') return <span className="nowrap">{text}</span>;
  return (
    <button type="button" className="plain row-link" onClick={() => onOpen(r)}>
      {text}
    </button>
  );
}
