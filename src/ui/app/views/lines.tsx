import { Box, Text } from 'ink';
import { glyphsOf } from '../glyphs.ts';
import type { Loaded, UiState } from '../state.ts';

/** Lines of text as they are, one row each; wider ones are cut. */
export function Lines({ lines, dim = false }: { readonly lines: readonly string[]; readonly dim?: boolean }) {
  return (
    <Box flexDirection="column">
      {lines.map((line, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows of a picture have no other name
        <Text key={row} wrap="truncate" dimColor={dim}>
          {line === '' ? ' ' : line}
        </Text>
      ))}
    </Box>
  );
}

/** What stands where a value would: that it is looked for, or why it cannot be had. */
export function Waiting({ loaded, looking, state }: { readonly loaded: Loaded<unknown> | undefined; readonly looking: string; readonly state: UiState }) {
  const glyphs = glyphsOf(state.terminal);
  if (!loaded?.failure) return <Text dimColor>{`${looking}${glyphs.more}`}</Text>;
  return (
    <Box flexDirection="column">
      <Text>{`${glyphs.failed} ${loaded.failure.message}`}</Text>
      <Text>{`  mend: ${loaded.failure.hint}`}</Text>
    </Box>
  );
}

/** The title of a part of a screen; the part that keys move stands between marks. */
export function Title({ text, active = false, state }: { readonly text: string; readonly active?: boolean; readonly state: UiState }) {
  return (
    <Text bold wrap="truncate">
      {active ? `${glyphsOf(state.terminal).cursor} ` : ''}
      {text}
    </Text>
  );
}
