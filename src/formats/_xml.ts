import { EdgeError, type Where } from '../core/errors.ts';

/** An element of the XML subset that annotation files use: names, text and children; attributes are skipped. */
export interface XmlElement {
  readonly name: string;
  readonly line: number;
  readonly children: readonly XmlElement[];
  /** Its own text, entities resolved, blanks at both ends removed. */
  readonly text: string;
}

const limits = { characters: 16 << 20, depth: 32, elements: 500_000 } as const;
const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };
// One piece of markup or text at a time; every alternative is linear.
const piece =
  /<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<\?[\s\S]*?\?>|<\/([A-Za-z_][\w.:-]*)\s*>|<([A-Za-z_][\w.:-]*)((?:\s+[A-Za-z_][\w.:-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|[^<]+/y;

/** Reads one XML document without DTD, namespaces or attributes; throws dataset-invalid, format-unsupported or limit-exceeded with file and line. */
export function parseXml(source: string, file?: string): XmlElement {
  let line = 1;
  const fail = (message: string, hint: string, code: 'dataset-invalid' | 'format-unsupported' | 'limit-exceeded' = 'dataset-invalid'): never => {
    const where: Where = { ...(file === undefined ? {} : { file }), line };
    throw new EdgeError(code, message, { hint, where });
  };
  if (source.length > limits.characters)
    fail(`The file has ${source.length} characters; at most ${limits.characters} are read.`, 'Check that this is an annotation file.', 'limit-exceeded');
  const noEntity = (word: string, before: string): never => {
    line += before.split('\n').length - 1;
    return fail(`"${word.slice(0, 20)}" is no entity we know.`, 'Write &amp; for &.');
  };
  const resolve = (text: string): string =>
    text.replace(/&([^;&<]{0,40})(;?)/g, (all, name: string, end: string, offset: number) => {
      const code = /^#x[0-9a-fA-F]{1,6}$/.test(name) ? Number.parseInt(name.slice(2), 16) : /^#[0-9]{1,7}$/.test(name) ? Number(name.slice(1)) : undefined;
      if (end === ';' && code !== undefined && code <= 0x10ffff) return String.fromCodePoint(code);
      return (end === ';' && Object.hasOwn(entities, name) ? entities[name] : undefined) ?? noEntity(all, text.slice(0, offset));
    });
  type Open = { name: string; line: number; children: XmlElement[]; text: string };
  const top: Open = { name: '', line: 1, children: [], text: '' };
  const stack: Open[] = [top];
  let elements = 0;
  const body = source.replace(/^\uFEFF/, '');
  const close = () => {
    const done = stack.pop()!;
    stack.at(-1)!.children.push({ ...done, text: done.text.trim() });
  };
  for (let at = 0; at < body.length; ) {
    piece.lastIndex = at;
    const found = piece.exec(body);
    if (!found)
      return fail(
        /^<!DOCTYPE/i.test(body.slice(at, at + 9)) ? 'A DOCTYPE is not read.' : `Unexpected ${JSON.stringify(body.slice(at, at + 20))}.`,
        'Use plain elements with text.',
        /^<!DOCTYPE/i.test(body.slice(at, at + 9)) ? 'format-unsupported' : 'dataset-invalid',
      );
    const [all, literal, closed, opened, , selfClosed] = found;
    const parent = stack.at(-1)!;
    if (opened !== undefined) {
      elements += 1;
      if (stack.length > limits.depth || elements > limits.elements)
        fail(`More than ${stack.length > limits.depth ? `${limits.depth} levels` : `${limits.elements} elements`}.`, 'Check that this is an annotation file.', 'limit-exceeded');
      stack.push({ name: opened, line, children: [], text: '' });
      if (selfClosed === '/') close();
    } else if (closed !== undefined) {
      if (stack.length === 1 || parent.name !== closed)
        fail(stack.length === 1 ? `</${closed}> closes nothing.` : `</${closed}> closes <${parent.name}> of line ${parent.line}.`, 'Close elements in the order they were opened.');
      close();
    } else if (literal !== undefined) parent.text += literal;
    else if (!all.startsWith('<')) {
      if (stack.length === 1 && all.trim() !== '') fail('Text outside the root element.', 'Remove it.');
      parent.text += resolve(all);
    }
    for (let index = all.indexOf('\n'); index >= 0; index = all.indexOf('\n', index + 1)) line += 1;
    at += all.length;
  }
  if (stack.length > 1) fail(`<${stack.at(-1)!.name}> of line ${stack.at(-1)!.line} is never closed.`, 'The file may be cut off.');
  if (top.children.length !== 1) fail(`${top.children.length} root elements.`, 'An XML file has one.');
  return top.children[0]!;
}
