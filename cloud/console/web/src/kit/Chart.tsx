import { lazy, Suspense } from 'react';
import { Loading } from './Page';

export interface Series {
  label: string;
  /** One for each time; null where there is none. */
  values: (number | null)[];
}

export interface ChartProps {
  /** What it shows, to a screen reader. */
  label: string;
  /** Unix seconds, ascending. */
  times: number[];
  series: Series[];
  unit?: string;
  height?: number;
  /** Steps instead of slopes, for what holds until it changes. */
  stepped?: boolean;
}

const Plot = lazy(() => import('./plot'));

/** Chart is a chart over time. Its code is fetched when the first one is shown; a table of the same values should stand near it. */
export function Chart(props: ChartProps) {
  return (
    <Suspense fallback={<Loading />}>
      <Plot {...props} />
    </Suspense>
  );
}
