import { linesOf, type Line } from './lines';

const marks: Record<Line['kind'], string> = { same: ' ', old: '-', new: '+', gap: '…' };

/** LineDiff is what two texts have not in common; the marks say so to those who do not see the colours. */
export function LineDiff({ before, after, label, same }: { before: string; after: string; label: string; same: string }) {
  const lines = linesOf(before, after);
  if (lines.length === 0) return <p className="dim">{same}</p>;
  return (
    <pre className="lines" tabIndex={0} role="region" aria-label={label} data-diff>
      {lines.map((l, i) => (
        <div key={i} data-line={l.kind}>
          {`${marks[l.kind]} ${l.text}`}
        </div>
      ))}
    </pre>
  );
}
