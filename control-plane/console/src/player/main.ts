/**
 * The player of terminal recordings, in a document of its own without an origin: no cookie, no storage, no request in anybody's name.
 * The page around it hands the recording over and says where to go; only it is listened to.
 */
import 'asciinema-player/dist/bundle/asciinema-player.css';
import './player.css';
import { create, type Player } from 'asciinema-player';
import type { FromPlayer, ToPlayer } from './messages.ts';

let player: Player | null = null;

const say = (message: FromPlayer) => parent.postMessage(message, '*');

addEventListener('message', event => {
  if (event.source !== parent) return;
  const message = event.data as ToPlayer;
  if (message.type === 'load') load(message);
  else if (message.type === 'seek') void jump(message.seconds);
});

/** From there on it plays: who jumps wants to see. */
async function jump(seconds: number): Promise<void> {
  await player?.seek(seconds);
  await player?.play();
}

function load({ cast, markers, dark }: Extract<ToPlayer, { type: 'load' }>): void {
  player?.dispose();
  document.body.dataset['dark'] = String(dark);
  player = create({ data: cast }, document.body, {
    fit: 'both',
    preload: true,
    idleTimeLimit: 2,
    markers: markers.map(({ seconds, label }) => [seconds, label]),
    theme: dark ? 'asciinema' : 'solarized-light',
    poster: 'npt:0:01',
    controls: true,
    terminalFontFamily: 'ui-monospace, "DejaVu Sans Mono", monospace',
  });
  // Its first picture is there when it can be moved.
  player.seek(0).then(
    () => say({ type: 'ready' }),
    () => undefined, // What cannot be played shows the player's own message.
  );
  player.addEventListener('ended', () => say({ type: 'ended' }));
}

say({ type: 'waiting' });
