import { type Report, type ReportAccuracy, type ReportImage, type ReportRow, reportLines } from './report.ts';
import { bottleneckSentences, powerTable } from './report-conditions.ts';
import { reportStyle } from './report-style.ts';
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

/** The report as one HTML file: no network, no scripts, light and dark, charts as SVG with the same figures in tables. */
export async function reportHtml(report: Report): Promise<string> {
  const { reportFigures } = await import('./report-figures.ts'); // the chart library costs a second to load; only this view needs it
  const grades = [...new Set([...report.baseline, ...report.results].map(({ evidence }) => evidence.grade))].join(', ');
  const figures = reportFigures(report).map(({ title: name, note, svg, device }) =>
    figure(name, [note, device ? `Evidence: ${grades}.` : ''].filter(words => words !== '').join(' '), svg),
  );
  const charts = figures.length === 0 ? '' : `<section class="charts" aria-label="Charts">${figures.join('')}</section>`;
  return page(report, `${summary(report)}${resultTable(report)}${failures(report)}${conditions(report)}${charts}${pruning(report)}${images(report)}${facts(report)}`);
}

const page = (report: Report, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>${text(title(report))}</title>
<style>${reportStyle}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;

function summary(report: Report): string {
  const lines = reportLines(report).filter(({ row, speedup }) => speedCounts(row) && speedup !== undefined);
  const best = lines.toSorted((a, b) => b.row.throughput.value - a.row.throughput.value)[0];
  const { pruning: cut } = report;
  const tiles = [
    ...(best
      ? [
          tile(
            `${shortNumber(best.row.throughput.value)}`,
            'images/s',
            `fastest row that did not fail: ${networkWords(best, report)} ${best.row.precision.toUpperCase()}, ${best.speedup!.toFixed(2)}× of FP32; ${best.row.evidence.grade}`,
          ),
        ]
      : []),
    ...(best?.row.accuracy
      ? [
          tile(
            percent(best.row.accuracy.value),
            'accuracy',
            `${best.row.accuracy.metric} of that row; n = ${best.row.accuracy.decisions ?? best.row.accuracy.n}, ${dropWords(best.row.accuracy.dropPoints)} points against FP32, ${gateWords(best.row)}`,
          ),
        ]
      : []),
    ...(cut ? [tile(percent(cut.macsAfter / Math.max(1, cut.macsBefore)), 'of the MACs', `${scaled(cut.macsBefore)} → ${scaled(cut.macsAfter)} by pruning`)] : []),
    report.model.parameters === undefined
      ? tile(scaled(report.model.bytes, 'B'), 'encrypted model', 'read by the device’s converter alone: parameters and MACs are not known')
      : tile(scaled(report.model.parameters), 'parameters', `${scaled(report.model.macs ?? 0, 'MACs')}, ${scaled(report.model.bytes, 'B')}`),
  ];
  return `<header><h1>${text(title(report))}</h1><p class="muted">${text([report.createdAt, protocolWords(report)].filter(Boolean).join(' · '))}</p></header><section class="tiles" aria-label="Summary">${tiles.join('')}</section>`;
}
const tile = (value: string, unit: string, note: string): string =>
  `<div class="tile"><p class="value">${text(value)} <span>${text(unit)}</span></p><p class="muted">${text(note)}</p></div>`;

function resultTable(report: Report): string {
  const metrics = new Set([...report.baseline, ...report.results].flatMap(({ accuracy }) => (accuracy === undefined ? [] : [accuracy.metric])));
  const body = reportLines(report).map(line => {
    const { row, speedup } = line;
    const speed = (value: string) => (speedCounts(row) ? value : `<s>${value}</s>`);
    const { p50, p90, p99, sd, n } = row.latencyMs;
    return `<tr${row.gate === 'fail' ? ' class="failed"' : ''}><th scope="row">${text(networkWords(line, report))}</th><td>${text(precisionWords(row))}</td><td>${text(row.scenario)}</td><td class="n">${row.batch}</td><td class="n">${speed(shortNumber(row.throughput.value))}</td><td class="n">${speedup === undefined ? '' : speed(`${speedup.toFixed(2)}×`)}</td><td class="n">${speed(shortNumber(p50))}</td><td class="n">${speed(shortNumber(p90))}</td><td class="n">${speed(shortNumber(p99))}</td><td class="n small">${shortNumber(sd)}; ${n}</td><td>${row.accuracy ? text(accuracyCell(row.accuracy, metrics.size === 1)) : '–'}${extras(row)}</td><td class="n">${dropWords(row.accuracy?.dropPoints)}</td><td>${gateBadge(row)}</td><td><span class="grade ${row.evidence.grade}" title="${text(`${row.evidence.runtime}, ${row.evidence.protocol}, ${row.evidence.at}`)}">${row.evidence.grade}</span></td></tr>`;
  });
  const head = ['network', 'precision', 'scenario', 'batch', 'images/s', 'speed-up', 'p50 ms', 'p90 ms', 'p99 ms', 'sd; n', 'accuracy', 'drop', 'gate', 'evidence'];
  return `<section><h2>Speed and accuracy</h2><div class="scroll" tabindex="0" role="region" aria-label="Results"><table><caption>A speed counts only beside the accuracy that the same artifact reached on the same device. A struck-out speed does not count: its accuracy failed the gate, or its times are void.${metrics.size === 1 ? ` Accuracy is ${text([...metrics][0]!)}.` : ''}</caption><thead><tr>${head.map(name => `<th scope="col">${name}</th>`).join('')}</tr></thead><tbody>${body.join('')}</tbody></table></div></section>`;
}
const accuracyCell = (accuracy: ReportAccuracy, sameMetric: boolean): string => accuracyWords(sameMetric ? { ...accuracy, metric: '' } : accuracy).replace(' %  (', ' % (');
const extras = ({ ranges, sqnrDb, agreement }: ReportRow): string => {
  const parts = [
    agreement === undefined ? '' : `${percent(agreement.share)} of ${agreement.n} decisions as FP32`,
    sqnrDb === undefined ? '' : `SQNR ${sqnrDb.toFixed(1)} dB`,
    ranges === undefined ? '' : ranges,
  ].filter(part => part !== '');
  return parts.length === 0 ? '' : `<br><span class="small muted">${text(parts.join(' · '))}</span>`;
};
const gateBadge = (row: ReportRow): string =>
  row.gate === 'fail'
    ? `<strong class="bad">FAILED</strong>${row.gateNote ? `<br><span class="small">${text(row.gateNote)}</span>` : ''}`
    : row.gate === 'pass'
      ? '<span class="good">pass</span>'
      : `<span class="muted">${text(gateWords(row))}</span>`;

const failures = ({ failures: list = [] }: Report): string =>
  list.length === 0
    ? ''
    : `<section><h2>No figure for</h2><ul>${list.map(({ precision, network, message, hint }) => `<li><strong>${text(precision.toUpperCase())}</strong> (${network}): ${text(message)}${hint ? ` <span class="muted">${text(hint)}</span>` : ''}</li>`).join('')}</ul></section>`;

/** Power, heat and clocks, and what limits. */
function conditions(report: Report): string {
  const [power, sentences] = [powerTable(report), bottleneckSentences(report)];
  const rows = (power?.rows ?? []).map(([name = '', ...cells]) => `<tr><th scope="row">${text(name)}</th>${cells.map(cell => `<td>${text(cell)}</td>`).join('')}</tr>`).join('');
  const table = power
    ? `<section><h2>${text(power.title)}</h2><div class="scroll" tabindex="0" role="region" aria-label="${text(power.title)}"><table><caption>${text(power.note)}</caption><thead><tr>${power.head.map(name => `<th scope="col">${text(name)}</th>`).join('')}</tr></thead><tbody>${rows}</tbody></table></div></section>`
    : '';
  return sentences.length === 0 ? table : `${table}<section><h2>What limits</h2><ul>${sentences.map(sentence => `<li>${text(sentence)}</li>`).join('')}</ul></section>`;
}

const figure = (name: string, note: string, svg: string): string =>
  `<figure><figcaption><h3>${text(name)}</h3>${note ? `<p class="muted">${text(note)}</p>` : ''}</figcaption>${svg}</figure>`;

function pruning({ pruning: cut }: Report): string {
  if (!cut) return '';
  const row = (name: string, before: string, after: string) => `<tr><th scope="row">${name}</th><td class="n">${text(before)}</td><td class="n">${text(after)}</td></tr>`;
  const accuracy = cut.accuracyBefore !== undefined && cut.accuracyAfter !== undefined ? row('accuracy', percent(cut.accuracyBefore), percent(cut.accuracyAfter)) : '';
  const layers = (cut.layers ?? []).map(({ name, before, after }) => row(text(name), String(before), String(after))).join('');
  const details =
    layers === ''
      ? ''
      : `<details><summary>Filters per layer as a table</summary><table class="narrow"><thead><tr><th scope="col">layer</th><th scope="col" class="n">before</th><th scope="col" class="n">after</th></tr></thead><tbody>${layers}</tbody></table></details>`;
  return `<section><h2>Pruning</h2><table class="narrow"><thead><tr><th scope="col"></th><th scope="col" class="n">before</th><th scope="col" class="n">after</th></tr></thead><tbody>${row('MACs', scaled(cut.macsBefore), scaled(cut.macsAfter))}${row('parameters', scaled(cut.parametersBefore), scaled(cut.parametersAfter))}${accuracy}</tbody></table>${details}</section>`;
}

const images = ({ images: list = [] }: Report): string =>
  list.length === 0 ? '' : `<section><h2>What it sees</h2><div class="images">${list.map(picture).join('')}</div></section>`;
function picture({ caption, jpegBase64, width, height, boxes }: ReportImage): string {
  const size = Math.max(10, width / 45);
  const marks = boxes.map(({ label, x1, y1, x2, y2, score, truth = false }) => {
    const words = truth ? '' : `<text x="${x1}" y="${Math.max(size, y1 - size / 4)}" font-size="${size}">${text(label)}${score === undefined ? '' : ` ${score.toFixed(2)}`}</text>`;
    return `<rect class="${truth ? 'truth' : 'found'}" x="${x1}" y="${y1}" width="${Math.max(0, x2 - x1)}" height="${Math.max(0, y2 - y1)}"/>${words}`;
  });
  const found = boxes.filter(({ truth }) => !truth).length;
  return `<figure><svg role="img" aria-label="${text(`${caption}: ${found} objects found`)}" viewBox="0 0 ${width} ${height}"><image preserveAspectRatio="none" href="data:image/jpeg;base64,${jpegBase64}" width="${width}" height="${height}"/>${marks.join('')}</svg><figcaption class="muted">${text(caption)}${boxes.some(({ truth }) => truth) ? ' (dashed: the labels)' : ''}</figcaption></figure>`;
}

function facts(report: Report): string {
  const list = (pairs: readonly (readonly [string, string])[]) => `<dl>${pairs.map(([name, value]) => `<div><dt>${text(name)}</dt><dd>${text(value)}</dd></div>`).join('')}</dl>`;
  const training = report.training
    .map(
      ({ stage, epochs, metric, value, n }) =>
        `<tr><th scope="row">${stage}</th><td class="n">${epochs}</td><td>${text(metric)}</td><td class="n">${percent(value)}</td><td class="n">${n}</td></tr>`,
    )
    .join('');
  const notes = allNotes(report);
  return `${training ? `<section><h2>Training</h2><table class="narrow"><thead><tr><th scope="col">stage</th><th scope="col" class="n">epochs</th><th scope="col">metric</th><th scope="col" class="n">value</th><th scope="col" class="n">n</th></tr></thead><tbody>${training}</tbody></table></section>` : ''}<section><h2>Device</h2>${list([['name', report.device.name], ...deviceFacts(report)])}</section><section><h2>Artifacts</h2><div class="scroll" tabindex="0" role="region" aria-label="Artifacts"><table><thead><tr><th scope="col">file</th><th scope="col" class="n">size</th><th scope="col">sha256</th></tr></thead><tbody>${report.artifacts.map(({ name, digest, bytes }) => `<tr><th scope="row">${text(name)}</th><td class="n">${scaled(bytes, 'B')}</td><td><code>${text(digest)}</code></td></tr>`).join('')}</tbody></table></div></section>${notes.length > 0 ? `<section><h2>Notes</h2><ul>${notes.map(note => `<li>${text(note)}</li>`).join('')}</ul></section>` : ''}`;
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const text = (value: string): string => value.replace(/[&<>"']/g, character => entities[character]!);
