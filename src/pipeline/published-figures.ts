import { targets } from '../deploy/targets.ts';
import type { Report } from '../formats/report.ts';
import { type PublishedFigure, publishedContext } from '../formats/report-published.ts';

/** What others published of detectors on this report's kind of device, each with what differs; nothing for other tasks and devices. */
export function publishedFigures({ device, model, baseline, results }: Pick<Report, 'device' | 'model' | 'baseline' | 'results'>, input?: readonly number[]): PublishedFigure[] {
  const rows = [...baseline, ...results];
  const board = rows.find(({ evidence }) => evidence.board)?.evidence.board;
  const [height, width] = input?.slice(-2) ?? [];
  const known = targets().find(({ name }) => name === device.target);
  if (model.task !== 'detectnet_v2' || rows.length === 0) return [];
  return (known?.published ?? []).map(row =>
    publishedContext(row, {
      network: model.architecture ?? 'another',
      ...(width === undefined || height === undefined ? {} : { width, height }),
      batches: [...new Set(rows.map(({ batch }) => batch))],
      precisions: [...new Set(rows.map(({ precision }) => precision))],
      runtime: String(device.runtime ?? 'unknown'),
      ...(typeof device.powerMode === 'string' ? { powerMode: device.powerMode } : {}),
      ...(board ? { clocks: board.clocks } : {}),
    }),
  );
}
