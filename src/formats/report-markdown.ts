import { type Report, reportLines } from './report.ts';
import { bottleneckSentences, powerTable } from './report-conditions.ts';
import {
  accuracyWords,
  allNotes,
  deviceFacts,
  dropWords,
  gateWords,
  networkWords,
  percent,
  precisionWords,
  protocolWords,
  scaled,
  shortNumber,
  speedCounts,
  title,
} from './report-words.ts';

/** The report for a pull request: GitHub Markdown, failing speeds struck out. */
export function reportMarkdown(report: Report): string {
  const { pruning, training } = report;
  const [power, bottlenecks] = [powerTable(report), bottleneckSentences(report)];
  const sections = [
    `# ${shield(title(report))}`,
    `${report.model.parameters === undefined ? 'Parameters and MACs are not known: the device’s converter alone read the model' : `${scaled(report.model.parameters)} parameters, ${scaled(report.model.macs ?? 0, 'MACs')}`}. ${shield(protocolWords(report))}`,
    '## Speed and accuracy',
    table(['network', 'precision', 'scenario', 'batch', 'images/s', 'speed-up', 'p50 ms', 'p90 ms', 'p99 ms', 'accuracy', 'drop (points)', 'gate', 'evidence'], rowsOf(report)),
    ...(power ? [`## ${power.title}`, shield(power.note), table(power.head, power.rows)] : []),
    ...(bottlenecks.length > 0 ? ['## What limits', bottlenecks.map(sentence => `- ${shield(sentence)}`).join('\n')] : []),
    ...(report.failures?.length
      ? [
          '### No figure for',
          report.failures.map(({ precision, network, message, hint }) => `- ${shield(`${precision.toUpperCase()} (${network}): ${message}${hint ? ` ${hint}` : ''}`)}`).join('\n'),
        ]
      : []),
    ...(training.length > 0
      ? [
          '## Training',
          table(
            ['stage', 'epochs', 'metric', 'value', 'n'],
            training.map(({ stage, epochs, metric, value, n }) => [stage, String(epochs), metric, percent(value), String(n)]),
          ),
        ]
      : []),
    ...(pruning
      ? [
          '## Pruning',
          table(
            ['', 'before', 'after', 'kept'],
            [
              ['MACs', scaled(pruning.macsBefore), scaled(pruning.macsAfter), percent(pruning.macsAfter / Math.max(1, pruning.macsBefore))],
              ['parameters', scaled(pruning.parametersBefore), scaled(pruning.parametersAfter), percent(pruning.parametersAfter / Math.max(1, pruning.parametersBefore))],
              ...(pruning.accuracyBefore === undefined || pruning.accuracyAfter === undefined
                ? []
                : [['accuracy', percent(pruning.accuracyBefore), percent(pruning.accuracyAfter), '']]),
            ],
          ),
        ]
      : []),
    '## Device',
    table(['fact', 'value'], [['name', report.device.name], ...deviceFacts(report).map(fact => [...fact])]),
    '## Artifacts',
    table(
      ['file', 'bytes', 'sha256'],
      report.artifacts.map(({ name, digest, bytes }) => [name, String(bytes), digest]),
    ),
    ...(allNotes(report).length > 0
      ? [
          '## Notes',
          allNotes(report)
            .map(note => `- ${shield(note)}`)
            .join('\n'),
        ]
      : []),
  ];
  return `${sections.join('\n\n')}\n`;
}

const rowsOf = (report: Report): string[][] =>
  reportLines(report).map(line => {
    const { row, speedup } = line;
    const speed = (value: number | undefined, unit = '') => (value === undefined ? '' : !speedCounts(row) ? `~~${shortNumber(value)}${unit}~~` : `${shortNumber(value)}${unit}`);
    const { latencyMs, accuracy } = row;
    return [
      networkWords(line, report),
      precisionWords(row),
      row.scenario,
      String(row.batch),
      speed(row.throughput.value),
      speed(speedup, '×'),
      speed(latencyMs.p50),
      speed(latencyMs.p90),
      speed(latencyMs.p99),
      accuracy === undefined ? '–' : accuracyWords(accuracy),
      dropWords(accuracy?.dropPoints),
      row.gate === 'fail' ? '**FAILED**' : gateWords(row),
      row.evidence.grade,
    ];
  });

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows.map(row => row.map(text => shield(text)))].map(row => `| ${row.join(' | ')} |`).join('\n');
// Struck-out and bold marks are ours; everything else that Markdown or HTML would read is shielded.
const shield = (text: string): string => text.replace(/[\\|<>`[\]_]/g, character => `\\${character}`).replace(/\r?\n/g, ' ');
