import { Box, Text } from 'ink';
import type { Choice, Dialog } from '../dialog.ts';
import { type Glyphs, glyphsOf } from '../glyphs.ts';
import { everywhere, paletteEntries } from '../palette.ts';
import type { KeyBinding } from '../screen.ts';
import { screenNamed } from '../screens.ts';
import type { UiState } from '../state.ts';
import { List } from './list.tsx';
import { tourPages } from './tour.ts';

interface DialogProps<D extends Dialog = Dialog> {
  readonly state: UiState;
  readonly dialog: D;
  readonly columns: number;
  readonly rows: number;
}
type Of<K extends Dialog['kind']> = DialogProps<Extract<Dialog, { kind: K }>>;

/** What lies over a screen. */
export function DialogView({ dialog, ...props }: DialogProps) {
  switch (dialog.kind) {
    case 'palette':
      return <Palette dialog={dialog} {...props} />;
    case 'filter':
      return <Line title="Filter" hint="words that must appear; !word must not; enter keeps it, esc drops it" text={dialog.text} state={props.state} />;
    case 'prompt':
      return <Line title={dialog.title} hint={dialog.hint} text={dialog.text} state={props.state} />;
    case 'help':
      return <Help dialog={dialog} {...props} />;
    case 'tour':
      return <Tour dialog={dialog} {...props} />;
    case 'ask':
      return <Ask dialog={dialog} {...props} />;
    case 'pick':
      return <Pick dialog={dialog} {...props} />;
    case 'output':
      return <Scrolled title={dialog.title} lines={dialog.lines} scroll={dialog.scroll} rows={props.rows} />;
  }
}

function Line({ title, hint, text, state }: { readonly title: string; readonly hint: string; readonly text: string; readonly state: UiState }) {
  return (
    <Box flexDirection="column">
      <Text bold>{title}</Text>
      <Text>
        {glyphsOf(state.terminal).cursor} {text}
        <Text inverse> </Text>
      </Text>
      <Text dimColor>{hint}</Text>
    </Box>
  );
}

function Palette({ state, dialog, columns, rows }: Of<'palette'>) {
  const entries = paletteEntries(state, dialog.text);
  const glyphs = glyphsOf(state.terminal);
  const half = Math.max(20, Math.floor(columns / 2) - 4);
  return (
    <Box flexDirection="column">
      <Text wrap="truncate">
        : {dialog.text}
        <Text inverse> </Text>
        <Text dimColor> {entries.length} actions; enter does it, esc leaves</Text>
      </Text>
      <List
        items={entries}
        cursor={dialog.cursor}
        rows={rows - 1}
        glyphs={glyphs}
        draw={({ title, binding }) => (
          <Text>
            {fitted(`${title}: ${binding.help}`, half, glyphs)} <Text dimColor>{cliOf(binding, state)}</Text>
          </Text>
        )}
      />
    </Box>
  );
}

/** The text padded or cut to a width. */
const fitted = (text: string, width: number, glyphs: Glyphs): string => (text.length > width ? `${text.slice(0, width - 1)}${glyphs.more}` : text.padEnd(width));
const cliOf = (binding: KeyBinding, state: UiState): string => (binding.cli ? `$ ${binding.cli(state)}` : '');

function Help({ state, dialog, rows }: Of<'help'>) {
  const screen = screenNamed(state.screen);
  const keyLine = (binding: KeyBinding) => `  ${binding.key.padEnd(8)} ${binding.help.padEnd(34)} ${cliOf(binding, state)}`.trimEnd();
  const lines = [
    screen.about,
    '',
    ...(screen.keys.length > 0 ? ['Keys of this screen, and the command that does the same', ...screen.keys.map(keyLine), ''] : []),
    'Everywhere',
    '  :        every action, by a few letters',
    '  esc q    back out one level; from Home: leave',
    '  arrows hjkl  move; left and right change the screen',
    '  tab      next pane;  g G  first, last;  pgup pgdn  a page',
    ...everywhere.map(keyLine),
  ];
  return <Scrolled title={`Help: ${screen.title}`} lines={lines} scroll={dialog.scroll} rows={rows} />;
}

function Scrolled({ title, lines, scroll, rows }: { readonly title: string; readonly lines: readonly string[]; readonly scroll: number; readonly rows: number }) {
  const fit = Math.max(1, rows - 2);
  const from = Math.min(scroll, Math.max(0, lines.length - fit));
  return (
    <Box flexDirection="column">
      <Text bold wrap="truncate">
        {title}
        {lines.length > fit ? ` (${from + 1}–${Math.min(lines.length, from + fit)} of ${lines.length} lines)` : ''}
      </Text>
      {lines.slice(from, from + fit).map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines of a text have no other name
        <Text key={index} wrap="truncate">
          {line === '' ? ' ' : line}
        </Text>
      ))}
      <Text dimColor>esc closes</Text>
    </Box>
  );
}

function Tour({ dialog, columns }: Of<'tour'>) {
  const page = tourPages[dialog.page] ?? tourPages[0];
  return (
    <Box flexDirection="column" width={Math.min(columns, 76)}>
      <Text bold>
        {page.title} ({dialog.page + 1}/{tourPages.length})
      </Text>
      {page.lines.map(line => (
        <Text key={line}>{line === '' ? ' ' : line}</Text>
      ))}
      <Text dimColor>any key: next esc: skip the tour</Text>
    </Box>
  );
}

function Choices({ choices, cursor, state }: { readonly choices: readonly Choice[]; readonly cursor: number; readonly state: UiState }) {
  return <List items={choices} cursor={cursor} rows={choices.length} glyphs={glyphsOf(state.terminal)} draw={({ key, label }) => `${key.padEnd(4)} ${label}`} />;
}

function Ask({ state, dialog }: Of<'ask'>) {
  return (
    <Box flexDirection="column">
      <Text bold>{dialog.title}</Text>
      {dialog.lost.map(line => (
        <Text key={line}> will be lost: {line}</Text>
      ))}
      <Choices choices={dialog.choices} cursor={dialog.cursor} state={state} />
      <Text dimColor>$ {dialog.cli}</Text>
    </Box>
  );
}

function Pick({ state, dialog }: Of<'pick'>) {
  return (
    <Box flexDirection="column">
      <Text bold>{dialog.title}</Text>
      <Choices choices={dialog.choices} cursor={dialog.cursor} state={state} />
    </Box>
  );
}
