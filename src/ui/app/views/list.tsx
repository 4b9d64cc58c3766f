import { Box, Text } from 'ink';
import type { ReactElement } from 'react';
import type { Glyphs } from '../glyphs.ts';

/** The rows of a long list that fit: a window of `rows` around the cursor. */
export function windowOf(length: number, cursor: number, rows: number): { readonly from: number; readonly to: number } {
  const from = Math.max(0, Math.min(cursor - Math.floor(rows / 2), length - rows));
  return { from, to: Math.min(length, from + rows) };
}

interface ListProps<T> {
  readonly items: readonly T[];
  readonly cursor: number;
  readonly rows: number;
  readonly glyphs: Glyphs;
  /** Only the pane that keys move shows its cursor. */
  readonly active?: boolean;
  readonly draw: (item: T, index: number) => ReactElement | string;
}

/** A list of which only what fits is drawn; the cursor's row has a mark, and a last line says how much there is. */
export function List<T>({ items, cursor: wanted, rows, glyphs, active = true, draw }: ListProps<T>) {
  const cursor = Math.min(wanted, items.length - 1);
  const fits = items.length <= rows;
  const { from, to } = windowOf(items.length, cursor, fits ? rows : Math.max(1, rows - 1));
  return (
    <Box flexDirection="column">
      {items.slice(from, to).map((item, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows of a picture have no other name
        <Text key={from + index} wrap="truncate" bold={active && from + index === cursor}>
          {active && from + index === cursor ? glyphs.cursor : ' '} {draw(item, from + index)}
        </Text>
      ))}
      {!fits && (
        <Text dimColor>
          {'  '}
          {from + 1}–{to} of {items.length}
        </Text>
      )}
    </Box>
  );
}
