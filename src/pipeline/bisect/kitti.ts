import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EdgeError } from '../../core/errors.ts';
import type { Size } from '../../data/placement.ts';
import type { RemotePath, Transport } from '../../deploy/device.ts';
import { script } from '../../deploy/quote.ts';
import { readKittiLabels } from '../../formats/kitti.ts';
import type { Seen } from '../../tasks/frame-match.ts';

const divider = '=== edgeforge ===';

/**
 * What DeepStream saw of n frames: the files that gie-kitti-output-dir wrote (`00_000_000000.txt`, one a frame, boxes in pixels of the muxer's frame), in the order of their
 * names, from a folder here or, where there is none, on the device. Throws `file-missing` where fewer are there.
 */
export async function kittiAnswers(
  folder: string,
  { transport, sizes, frame }: { readonly transport: Transport; readonly sizes: readonly Size[]; readonly frame?: Size | undefined },
): Promise<Seen[][]> {
  const texts = existsSync(folder) ? await here(folder, sizes.length) : await there(transport, folder, sizes.length);
  if (texts.length < sizes.length)
    throw new EdgeError('file-missing', `${folder} holds ${texts.length} label files for ${sizes.length} frames.`, {
      hint: 'Let deepstream-app see the same images in the same order, with gie-kitti-output-dir set; or compare fewer (--images).',
      where: { file: folder },
    });
  return texts.map((text, i) => {
    const size = sizes[i]!;
    const [x, y] = frame ? [size.width / frame.width, size.height / frame.height] : [1, 1];
    return readKittiLabels(text, { file: folder, fields: 'either' }).map(({ className, x1, y1, x2, y2, score }) => ({
      label: className,
      box: { x1: x1 * x, y1: y1 * y, x2: x2 * x, y2: y2 * y },
      // 5.x writes no score; nvinfer writes −0.1 where grouping leaves none.
      ...(score === undefined || score < 0 ? {} : { score }),
    }));
  });
}

async function here(folder: string, n: number): Promise<string[]> {
  const names = (await readdir(folder)).filter(name => name.endsWith('.txt')).sort();
  return Promise.all(names.slice(0, n).map(name => readFile(join(folder, name), 'utf8')));
}
async function there(transport: Transport, folder: RemotePath, n: number): Promise<string[]> {
  const text = `cd -- "$1" 2>/dev/null || exit 3; ls | grep '\\.txt$' | sort | head -n "$2" | while read -r f; do echo "$3"; cat -- "$f"; echo; done`;
  const { stdout } = await transport.exec(script(text, folder, String(n), divider), { limitMs: 60_000 });
  return stdout.split(`${divider}\n`).slice(1);
}
