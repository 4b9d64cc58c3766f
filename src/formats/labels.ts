/** What a labels.txt says: for each output layer the class names in order of their ids, and what DeepStream's reader would stumble over. */
export interface Labels {
  readonly outputs: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

/**
 * Reads labels.txt as DeepStream's nvinfer means it. Detector: one class per line (the part before `;`), one output.
 * Classifier: one line per output layer, its classes separated by `;`. Empty lines are skipped, as nvinfer does.
 */
export function parseLabels(text: string, kind: 'detector' | 'classifier'): Labels {
  const notes: string[] = [];
  const raw = text.replace(/^\uFEFF/, '').split('\n');
  if (raw.at(-1) === '') raw.pop();
  if (raw.some(line => line.endsWith('\r'))) notes.push('lines end in CRLF: DeepStream keeps the carriage return in every label');
  const lines = raw.map(line => line.replace(/\r$/, ''));
  const empty = lines.indexOf('');
  if (empty >= 0) notes.push(`line ${empty + 1} is empty: DeepStream skips it, so the ids after it shift`);
  const rows = lines.filter(line => line !== '').map(line => line.replace(/;$/, '').split(';'));
  if (kind === 'detector') {
    if (rows.length === 1 && rows[0]!.length > 1) notes.push('one line with ";": that is the form for a classifier; a detector has one class per line');
    return { outputs: [rows.map(([name]) => name!)], notes };
  }
  if (rows.length > 1 && rows.every(row => row.length === 1))
    notes.push('one class per line: DeepStream reads each line as an output layer of its own; separate classes by ";" on one line');
  return { outputs: rows, notes };
}

/** labels.txt for DeepStream: a detector’s classes line by line, a classifier’s separated by `;` on one line. Names must not hold `;` or line ends. */
export const formatLabels = (classes: readonly string[], kind: 'detector' | 'classifier'): string => `${classes.join(kind === 'detector' ? '\n' : ';')}\n`;
