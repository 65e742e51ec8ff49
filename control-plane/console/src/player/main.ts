/**
 * The player of terminal recordings, in a document of its own without an origin: no cookie, no storage, no request in anybody's name.
 * The page around it hands the recording over and says where to go; only it is listened to.
 */
import 'asciinema-player/dist/bundle/asciinema-player.css';
import './player.css';
import { create, type Player, type Source } from 'asciinema-player';
import type { FromPlayer, Size, ToPlayer } from './messages.ts';

let player: Player | null = null;
let live: LiveTerminal | null = null;

const say = (message: FromPlayer) => parent.postMessage(message, '*');

addEventListener('message', event => {
  if (event.source !== parent) return;
  const message = event.data as ToPlayer;
  if (message.type === 'load') load(message);
  else if (message.type === 'seek') void jump(message.seconds);
  else if (message.type === 'live') follow(message);
  else if (message.type === 'output') live?.dispatch('output', message.text);
  else if (message.type === 'resize') live?.dispatch('resize', message.size);
});

/** From there on it plays: who jumps wants to see. */
async function jump(seconds: number): Promise<void> {
  await player?.seek(seconds);
  await player?.play();
}

interface LiveTerminal {
  dispatch(event: 'reset' | 'play' | 'playing' | 'output' | 'resize', data?: unknown): void;
}

const look = (dark: boolean) => ({
  fit: 'both' as const,
  theme: dark ? 'asciinema' : 'solarized-light',
  terminalFontFamily: 'ui-monospace, "DejaVu Sans Mono", monospace',
});

/** What comes is shown at once. The player's own live sources ask the network, which this document does not have. */
function follow({ size, dark }: { size: Size; dark: boolean }): void {
  player?.dispose();
  document.body.dataset['dark'] = String(dark);
  const source = (terminal: LiveTerminal) => ({
    init() {
      live = terminal;
      terminal.dispatch('reset', { size });
      say({ type: 'ready' });
    },
    play() {
      terminal.dispatch('play');
      terminal.dispatch('playing');
      return true;
    },
  });
  // A source may be a function, as its own are; the types name the others alone.
  player = create(source as unknown as Source, document.body, { ...look(dark), autoPlay: true, controls: false });
}

function load({ cast, markers, dark }: Extract<ToPlayer, { type: 'load' }>): void {
  live = null;
  player?.dispose();
  document.body.dataset['dark'] = String(dark);
  player = create({ data: cast }, document.body, {
    ...look(dark),
    preload: true,
    idleTimeLimit: 2,
    markers: markers.map(({ seconds, label }) => [seconds, label]),
    poster: 'npt:0:01',
    controls: true,
  });
  // Its first picture is there when it can be moved.
  player.seek(0).then(
    () => say({ type: 'ready' }),
    () => undefined, // What cannot be played shows the player's own message.
  );
  player.addEventListener('ended', () => say({ type: 'ended' }));
}

say({ type: 'waiting' });
