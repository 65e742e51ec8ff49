/** The two charts that the console needs: columns over time, and bars of the largest. Drawn as SVG, with the numbers as a table for readers. */
import { useState } from 'react';
import { compact, number, timeText } from './format.tsx';
import { Untrusted } from './untrusted.tsx';

export interface Series {
  name: string;
  tone: 'good' | 'bad' | 'wait' | 'info' | 'mask';
}

const width = 720;

/** Stacked columns over time. `values[i]` belongs to `series[i]`. */
export function TimeColumns({
  label,
  series,
  points,
  height = 140,
}: {
  label: string;
  series: readonly Series[];
  points: readonly { at: string; values: readonly number[] }[];
  height?: number;
}) {
  const [over, setOver] = useState<number | null>(null);
  const most = Math.max(1, ...points.map(({ values }) => values.reduce((sum, value) => sum + value, 0)));
  const step = width / Math.max(1, points.length);
  const shown = over === null ? null : points[over];
  return (
    <figure className="col" style={{ gap: 6 }}>
      <figcaption className="legend">
        {series.map(({ name, tone }, index) => (
          <span key={name}>
            <i className={`fill-${tone}`} />
            {name} {shown && <strong>{number(shown.values[index] ?? 0)}</strong>}
          </span>
        ))}
        <span className="softer">{shown ? timeText(shown.at) : `most at once: ${compact(most)}`}</span>
      </figcaption>
      <svg
        className="chart"
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
        onPointerLeave={() => setOver(null)}
        onPointerMove={event => {
          const box = event.currentTarget.getBoundingClientRect();
          setOver(Math.max(0, Math.min(points.length - 1, Math.floor(((event.clientX - box.left) / box.width) * points.length))));
        }}
      >
        <line x1="0" x2={width} y1={height - 0.5} y2={height - 0.5} className="axis" />
        {points.map(({ at, values }, index) => {
          let base = height - 1;
          return (
            <g key={at} className={index === over ? 'over' : undefined}>
              {values.map((value, which) => {
                const size = value === 0 ? 0 : Math.max(2, (value / most) * (height - 6));
                base -= size;
                return (
                  <rect
                    key={series[which]?.name ?? which}
                    className={`fill-${series[which]?.tone ?? 'info'}`}
                    x={index * step + step * 0.12}
                    width={step * 0.76}
                    y={base}
                    height={size}
                  />
                );
              })}
            </g>
          );
        })}
      </svg>
      <div className="row spread softer axis-labels">
        <span>{points[0] && timeText(points[0].at)}</span>
        <span>{points.at(-1) && timeText(points.at(-1)?.at ?? '')}</span>
      </div>
    </figure>
  );
}

const barsMax = 12;

/** The largest, as bars; what is beyond them is one bar more. */
export function Bars({ label, rows }: { label: string; rows: readonly { name: string; value: number }[] }) {
  const sorted = [...rows].sort((a, b) => b.value - a.value);
  const rest = sorted.slice(barsMax).reduce((sum, { value }) => sum + value, 0);
  const shown = [...sorted.slice(0, barsMax), ...(rest > 0 ? [{ name: `${sorted.length - barsMax} others`, value: rest }] : [])];
  const most = Math.max(1, ...shown.map(({ value }) => value));
  return (
    <ul className="bars" aria-label={label}>
      {shown.map(({ name, value }, index) => (
        <li key={`${index} ${name}`}>
          <span className="truncate">
            <Untrusted text={name} />
          </span>
          <span className="bar-line">
            <span style={{ width: `${(value / most) * 100}%` }} />
          </span>
          <span className="num">{compact(value)}</span>
        </li>
      ))}
    </ul>
  );
}
