/** What a new user is shown once: three pages at most. */
export const tourPages = [
  {
    title: 'Edgeforge brings a model to a device',
    lines: [
      'A project is a folder with an edgeforge.yaml. Its steps: data, train, prune,',
      'retrain, export, and for each device: build, measure, report.',
      'What is up to date is not done again. Home says what is stale and why.',
      '',
      'No project yet? Press n on Home: the scenes template runs on this machine as it is.',
    ],
  },
  {
    title: 'Keys',
    lines: [
      '1 2 … 0   screens          arrows hjkl   move         tab   next pane',
      ':         every action, by a few letters              /     filter',
      '?         the keys of this screen, each with the command that does the same',
      'esc or q  backs out of one level, always',
    ],
  },
  {
    title: 'The work is not in this screen',
    lines: [
      'A run is a process of its own. Close the terminal, lose the connection, kill this',
      'program: the run goes on, and edgeforge shows all of it when you come back.',
      'Ctrl-C asks: detach, stop the run, or stay.',
    ],
  },
] as const;
