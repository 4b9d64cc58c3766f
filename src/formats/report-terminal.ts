import { type Report, reportLines } from './report.ts';
import { bottleneckSentences, powerSentences } from './report-conditions.ts';
import { allNotes, dropWords, gateWords, networkWords, percent, scaled, shortNumber, speedCounts, title } from './report-words.ts';

/** The report as lines of at most `width` columns. With colour a failing speed is struck out; without, it stands between tildes. */
export function reportTerminal(report: Report, { color, width = 80 }: { readonly color: boolean; readonly width?: number }): string {
  const paint = (code: number, text: string) => (color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const head = ['network', 'prec', 'batch', 'images/s', 'speed', 'p50 ms', 'p99 ms', 'accuracy', 'drop', 'gate'];
  const rows = reportLines(report).map(line => {
    const { row, speedup } = line;
    const failed = row.gate === 'fail';
    const struck = !speedCounts(row);
    const speed = (text: string) => (struck && !color ? `~${text}~` : text);
    const cells = [
      networkWords(line, report),
      row.precision.toUpperCase() + (row.computes === undefined ? '' : '*'),
      String(row.batch),
      speed(shortNumber(row.throughput.value)),
      speedup === undefined ? '' : speed(`${speedup.toFixed(2)}×`),
      speed(shortNumber(row.latencyMs.p50)),
      speed(shortNumber(row.latencyMs.p99)),
      row.accuracy === undefined ? '–' : percent(row.accuracy.value),
      dropWords(row.accuracy?.dropPoints),
      row.gate === 'unjudged' ? 'unjudged' : gateWords(row),
    ];
    return { cells, failed, struck };
  });
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map(({ cells }) => cells[at]!.length)));
  const cell = (text: string, at: number) => (at < 2 || at === 9 ? text.padEnd(widths[at]!) : text.padStart(widths[at]!));
  const speedCells = new Set([3, 4, 5, 6]);
  const clip = (text: string) => (text.length > width ? `${text.slice(0, width - 1)}…` : text);
  const table = rows.map(({ cells, failed, struck }) => {
    const texts = cells.map(cell);
    if (!color || !(failed || struck)) return texts.join(' ').trimEnd();
    return texts.map((text, at) => (speedCells.has(at) ? text.replace(/\S+/, figure => paint(9, figure)) : at === 9 && failed ? paint(31, text) : text)).join(' ');
  });
  const { pruning } = report;
  const lines = [
    paint(1, clip(title(report))),
    ...(pruning
      ? [clip(`pruned from ${scaled(pruning.macsBefore, 'MACs')} to ${scaled(pruning.macsAfter, 'MACs')} (${percent(pruning.macsAfter / Math.max(1, pruning.macsBefore))} kept)`)]
      : []),
    '',
    paint(2, head.map(cell).join(' ').trimEnd()),
    ...table,
    '',
    ...footnotes(report, color).flatMap(text => wrap(text, width)),
  ];
  return `${lines.join('\n')}\n`;
}

function footnotes(report: Report, color: boolean): string[] {
  const rows = [...report.baseline, ...report.results];
  const accuracy = rows.find(row => row.accuracy !== undefined)?.accuracy;
  const reasons = new Set(
    rows
      .filter(row => row.gate !== 'pass' && row.gateNote !== undefined)
      .map(row => `${row.precision.toUpperCase()} ${row.gate === 'fail' ? 'FAILED' : 'unjudged'}: ${row.gateNote}.`),
  );
  return [
    `Evidence: ${[...new Set(rows.map(row => row.evidence.grade))].join(', ') || 'none'}.${accuracy === undefined ? '' : ` Accuracy is ${accuracy.metric}, n = ${accuracy.decisions ?? accuracy.n}.`}`,
    ...reasons,
    ...(rows.some(row => !speedCounts(row)) && !color ? ['A speed between ~tildes~ does not count: its accuracy failed the gate, or its times are void.'] : []),
    ...new Set(rows.filter(row => row.computes !== undefined).map(row => `* ${row.precision.toUpperCase()} computes in ${row.computes}.`)),
    ...(report.failures ?? []).map(({ precision, network, message }) => `${precision.toUpperCase()} (${network}) gave no row: ${message}`),
    ...powerSentences(report),
    ...bottleneckSentences(report),
    ...allNotes(report).map(note => `Note: ${note}`),
  ];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `  ${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
