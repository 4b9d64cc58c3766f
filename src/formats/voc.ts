import { EdgeError } from '../core/errors.ts';
import { parseXml, type XmlElement } from './_xml.ts';

/** One object of a Pascal VOC annotation; corners in pixels as written (VOC counts from 1). */
export interface VocObject {
  readonly className: string;
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly truncated?: boolean;
  readonly difficult?: boolean;
  readonly pose?: string;
}
export interface VocAnnotation {
  readonly fileName: string;
  readonly width: number;
  readonly height: number;
  readonly depth?: number;
  readonly objects: readonly VocObject[];
}

/** Reads one Pascal VOC annotation; unknown elements are ignored, a missing or ill-typed one throws dataset-invalid with file and line. */
export function readVoc(text: string, file?: string): VocAnnotation {
  const root = parseXml(text, file);
  const complain = (element: XmlElement, message: string, hint: string) =>
    new EdgeError('dataset-invalid', message, { hint, where: { ...(file === undefined ? {} : { file }), line: element.line, path: element.name } });
  const find = (parent: XmlElement, name: string): XmlElement | undefined => parent.children.find(child => child.name === name);
  const need = (parent: XmlElement, name: string): XmlElement => {
    const found = find(parent, name);
    if (!found) throw complain(parent, `<${parent.name}> has no <${name}>.`, `Add <${name}>.`);
    return found;
  };
  const number = (parent: XmlElement, name: string): number => {
    const element = need(parent, name);
    const value = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(element.text) ? Number(element.text) : Number.NaN;
    if (!Number.isFinite(value)) throw complain(element, `<${name}> is "${element.text.slice(0, 40)}", not a number.`, 'Write a number.');
    return value;
  };
  const size = (parent: XmlElement, name: string): number => {
    const value = number(parent, name);
    if (!Number.isInteger(value) || value < 0 || value > 1 << 20) throw complain(need(parent, name), `<${name}> is ${value}.`, 'Write the image’s size in pixels.');
    return value;
  };
  const flag = (parent: XmlElement, name: string): boolean | undefined => {
    const element = find(parent, name);
    if (!element || element.text === '' || /^unspecified$/i.test(element.text)) return undefined;
    if (!/^[01]$/.test(element.text)) throw complain(element, `<${name}> is "${element.text.slice(0, 40)}", not 0 or 1.`, 'Write 0 or 1.');
    return element.text === '1';
  };
  if (root.name !== 'annotation') throw complain(root, `The root is <${root.name}>, not <annotation>.`, 'A VOC file starts with <annotation>.');
  const sizes = need(root, 'size');
  const objects = root.children
    .filter(({ name }) => name === 'object')
    .map(object => {
      const className = need(object, 'name').text;
      if (className === '') throw complain(object, 'An <object> has an empty <name>.', 'Write the class.');
      const box = need(object, 'bndbox');
      const [truncated, difficult, pose] = [flag(object, 'truncated'), flag(object, 'difficult'), find(object, 'pose')?.text];
      return {
        className,
        x1: number(box, 'xmin'),
        y1: number(box, 'ymin'),
        x2: number(box, 'xmax'),
        y2: number(box, 'ymax'),
        ...(truncated === undefined ? {} : { truncated }),
        ...(difficult === undefined ? {} : { difficult }),
        ...(pose ? { pose } : {}),
      };
    });
  const depth = find(sizes, 'depth') ? size(sizes, 'depth') : undefined;
  return { fileName: need(root, 'filename').text, width: size(sizes, 'width'), height: size(sizes, 'height'), ...(depth === undefined ? {} : { depth }), objects };
}

const escapes: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;' };
const escaped = (text: string): string => text.replace(/[<>&]/g, character => escapes[character]!);

/** An annotation as Pascal VOC XML. */
export function formatVoc({ fileName, width, height, depth, objects }: VocAnnotation): string {
  const bit = (name: string, value: boolean | undefined) => (value === undefined ? [] : [`    <${name}>${value ? 1 : 0}</${name}>`]);
  const body = objects.flatMap(({ className, x1, y1, x2, y2, truncated, difficult, pose }) => [
    '  <object>',
    `    <name>${escaped(className)}</name>`,
    ...(pose === undefined ? [] : [`    <pose>${escaped(pose)}</pose>`]),
    ...bit('truncated', truncated),
    ...bit('difficult', difficult),
    `    <bndbox><xmin>${x1}</xmin><ymin>${y1}</ymin><xmax>${x2}</xmax><ymax>${y2}</ymax></bndbox>`,
    '  </object>',
  ]);
  const size = `  <size><width>${width}</width><height>${height}</height>${depth === undefined ? '' : `<depth>${depth}</depth>`}</size>`;
  return `${['<annotation>', `  <filename>${escaped(fileName)}</filename>`, size, ...body, '</annotation>'].join('\n')}\n`;
}
