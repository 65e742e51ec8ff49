#!/usr/bin/env python3
"""Verifies an evidence file without any of Sallyport's code, from docs/reference/evidence-format.md alone.

    python3 verify-evidence.py FILE --key KEY

Needs Python 3.9 and `cryptography` (for Ed25519). Prints what it finds as JSON; the exit code is 0 only when that is nothing.
"""
import argparse, base64, datetime, gzip, hashlib, json, sys, zlib
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FRESH_MS, OPEN = 60_000, ('AgentJoined', 'CheckpointsLogged')
sha256 = lambda data: hashlib.sha256(data).digest()
node = lambda left, right: sha256(b'\1' + left + right)
unbase64 = lambda text: base64.b64decode(text, validate=True)
milliseconds = lambda text: datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp() * 1000

def is_signed(key, message, signature):
    try:
        return Ed25519PublicKey.from_public_bytes(key).verify(signature, message) is None
    except (InvalidSignature, ValueError):
        return False

def fields(data, otherwise={}):
    """A protobuf message of numbers and byte strings as {field: last value}; `otherwise` for what is none."""
    found, at, tag = {}, 0, None
    while at < len(data):
        end = next((end for end in range(at + 1, at + 9) if end <= len(data) and data[end - 1] < 128), None)
        if end is None: return otherwise
        value, at = sum((byte & 127) << 7 * i for i, byte in enumerate(data[at:end])), end
        if tag is None:
            tag = value
            continue
        if tag & 7 == 2: value, at = data[at:at + value], at + value
        if tag < 8 or tag & 7 not in (0, 2) or at > len(data): return otherwise
        found[tag >> 3], tag = value, None
    return otherwise if tag is not None else found

def range_root(leaves, first, size, proof):
    """Root (RFC 9162) of a tree of `size` leaves, of which leaves[0] is number `first`; empty when the proof does not fit."""
    proof, end = iter(proof), first + len(leaves)
    def walk(low, high):
        if high <= first or low >= end: return next(proof, b'')
        if high - low == 1: return leaves[low - first]
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        return node(walk(low, middle), walk(middle, high))
    root = walk(0, size) if leaves and 0 <= first < end <= size else b''
    return root if next(proof, None) is None else b''
def log_key(text):
    """(name, id, Ed25519 key) of NAME+ID+BASE64 (C2SP signed-note)."""
    name, ident, rest = text.strip().split('+', 2)
    raw = unbase64(rest)
    if len(raw) != 33 or raw[0] != 1 or sha256(name.encode() + b'\n' + raw)[:4].hex() != ident: raise ValueError('no key')
    return name, bytes.fromhex(ident), raw[1:]
class Head:
    """A signed head of the control log (C2SP tlog-checkpoint)."""
    def __init__(self, note, key):
        text, _, marks = note.partition('\n\n')
        name, size, root, *rest = text.split('\n')
        self.size, self.root, self.at = int(size), unbase64(root), milliseconds(rest[0][len('time '):])
        marks = [(line.split(' ')[1], unbase64(line.split(' ')[2])) for line in marks.split('\n') if line]
        self.good = any((who, raw[:4]) == key[:2] and who == name and is_signed(key[2], (text + '\n').encode(), raw[4:]) for who, raw in marks)
class Verifier:
    def __init__(self, pinned):
        self.key, self.findings, self.notes, self.scope, self.head, self.span, self.walk = pinned, [], [], None, None, None, None
        self.agents, self.logged, self.ledgers, self.expected = {}, {}, {}, {}
        self.seen, self.lines, self.proven, self.ended, self.broken = set(), 0, 0, False, False
    def find(self, code, **where): self.findings.append({'code': code, **where})
    def unproven(self, at_us, code, **where):  # what is new may not have reached the log yet
        is_new = self.head is not None and at_us / 1000 > self.head.at - FRESH_MS
        self.notes.append({'code': 'NOT_YET_COVERED', **where}) if is_new else self.find(code, **where)
    def take(self, text):
        self.lines += 1
        try:
            line = json.loads(text)
            if self.ended or (self.scope is None) != (line['type'] == 'header'): raise ValueError('out of place')
            if line['type'] != 'entry': self.end_span()
            if line['type'] != 'record': self.end_session()
            getattr(self, 'on_' + line['type'].replace('-', '_'))(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            if not self.broken: self.find('FILE_MALFORMED')
            self.broken = True
    def on_header(self, line):
        if line['format'] != 'sallyport-evidence/1': raise ValueError('another format')
        self.scope, self.key = line['scope'], self.key or log_key(line['key'])
    def on_tree_head(self, line):
        if self.head: raise ValueError('a second head')
        self.head = Head(line['note'], self.key)
        if not self.head.good: self.find('TREE_HEAD_FORGED')
    # The control log: every entry leads to the signed head, and none is left out.
    def on_range(self, line):
        self.span = {'from': line['from'], 'to': line['to'], 'proof': [unbase64(each) for each in line['proof']], 'leaves': [], 'open': []}
    def on_entry(self, line):
        index = self.span['from'] + len(self.span['leaves'])
        if 'value' in line:
            event = fields(unbase64(line['value']))
            stream, kind, digest = event.get(2, b''), event.get(4, b''), sha256(unbase64(line['value']))
            self.span['open'].append((index, stream.decode(), kind.decode(), event.get(6)))
        else:
            stream, kind, digest = line['stream'].encode(), line['event'].encode(), unbase64(line['sha256'])
            if line['event'] in OPEN: self.find('ENTRY_ALTERED', entry=index)
        self.span['leaves'].append(sha256(b'\0' + stream + b'\0' + kind + b'\0' + digest))
    def end_span(self):
        span, self.span = self.span, None
        if span is None: return
        root = self.head and range_root(span['leaves'], span['from'], self.head.size, span['proof'])
        if not root or root != self.head.root or span['from'] + len(span['leaves']) != span['to']: self.find('ENTRY_ALTERED', entry=span['from'])
        if span['from'] == self.proven: self.proven = span['to']
        for index, stream, kind, payload in span['open']:
            payload = json.loads(payload) if kind in OPEN else {}
            if kind == 'AgentJoined': self.agents.setdefault(stream[len('agent/'):], unbase64(payload['details']['keys']['signingKey']))
            for statement in (unbase64(each['statement']) for each in payload.get('checkpoints', ())):
                self.logged.setdefault(fields(statement)[2].decode(), {})[fields(statement).get(3, 0)] = sha256(statement)
            for each in payload.get('conflicts', ()): self.find('CHECKPOINT_FORK', entry=index, ledger=each['ledger'], number=each['number'])
    # Checkpoints: signed by the agent, chained, from the first on. They say where each session stands.
    def on_checkpoint(self, line):
        raw, heads = unbase64(line['statement']), [unbase64(each) for each in line['heads']]
        said, digest = fields(raw), sha256(raw)
        agent, ledger, number = said[1].decode(), said[2].decode(), said.get(3, 0)
        place, last = {'ledger': ledger, 'number': number}, self.ledgers.get(ledger, {'number': -1, 'hash': b'', 'covered': False})
        if agent not in self.agents: return self.find('KEY_UNKNOWN', **place)
        if not is_signed(self.agents[agent], b'sallyport-checkpoint-v1\0' + raw, unbase64(line['signature'])): return self.find('CHECKPOINT_FORGED', **place)
        logged = self.logged.get(ledger, {}).get(number)
        if number > last['number'] + 1: self.find('CHECKPOINT_MISSING', ledger=ledger, number=last['number'] + 1)
        elif number <= last['number'] or said.get(5, b'') != last['hash']: self.find('CHECKPOINT_FORK', **place)
        if logged and logged != digest: self.find('CHECKPOINT_FORK', **place)
        self.ledgers[ledger] = {'number': number, 'hash': digest, 'at': said.get(4, 0), 'covered': last['covered'] or logged == digest}
        leaves = [sha256(b'\0' + each) for each in heads]
        if len(heads) != said.get(7, 0) or said[6] != (range_root(leaves, 0, len(leaves), ()) or sha256(b'')): return self.find('HEADS_ALTERED', **place)
        for head in map(fields, heads):
            session = head[1].decode()
            if self.in_scope(session, head) and self.expected.get(session, {}).get(2, 0) <= head[2]: self.expected[session] = head
    def in_scope(self, session, head):
        scope, started = self.scope, int(session[:13].replace('-', ''), 16)
        tag = lambda what, name: sha256(f'{what}\0{session}\0{name}'.encode())[:16]
        if 'sessions' in scope: return session in scope['sessions']
        return (('from' not in scope or started >= milliseconds(scope['from'])) and ('to' not in scope or started < milliseconds(scope['to']))
                and ('person' not in scope or head.get(5) == tag('principal', scope['person']))
                and ('resource' not in scope or head.get(6) == tag('resource', scope['resource'])))
    # Sessions: each record holds the hash of the one before, and the signed head that of the last.
    def on_session(self, line):
        session, head = line['session'], self.expected.get(line['session'])
        if head and session in self.seen: self.find('RECORD_REPEATED', session=session)
        self.seen.add(session)
        self.walk = {'id': session, 'next': 0, 'hash': None, 'holes': set(), 'gaps': set(), 'at': 0, 'added': 0, 'open': 0, 'head': head}
    def on_record(self, line):
        walk, raw = self.walk, unbase64(line['bytes'])
        found, said = lambda code, seq: self.find(code, session=walk['id'], seq=seq), fields(raw, None)
        if said is None: return found('RECORD_ALTERED', walk['next'])
        seq, head, digest = said.get(2, 0), walk['head'], sha256(raw)
        if said.get(1, b'').decode('latin1') != walk['id']: return found('RECORD_FOREIGN', seq)
        walk['at'] = said.get(3, 0)
        if seq < walk['next']:
            found('RECORD_REORDERED' if seq in walk['holes'] else 'RECORD_REPEATED', seq)
            return walk['holes'].discard(seq)
        if seq > walk['next']: walk['holes'].update(range(walk['next'], seq))
        elif (seq == 0 and said.get(4)) or (walk['hash'] and walk['hash'] != said.get(4)): found('RECORD_ALTERED', max(seq - 1, 0))
        walk['hash'], walk['next'] = digest, seq + 1
        if head and seq == head[2] - 1 and digest != head[3]: found('RECORD_ALTERED', seq)
        if head and seq >= head[2]: walk['added' if head.get(4) else 'open'] += 1
        if 15 in said: walk['gaps'].update(range(fields(said[15]).get(1, 0), fields(said[15]).get(2, 0) + 1))
    def end_session(self):
        walk, self.walk = self.walk, None
        if walk is None: return
        session, head, holes = walk['id'], walk['head'], walk['holes'] - walk['gaps']
        for first in sorted(seq for seq in holes if seq - 1 not in holes):
            self.find('RECORDS_MISSING', session=session, seq=first, toSeq=next(seq for seq in range(first, walk['next']) if seq + 1 not in holes))
        if not head: self.unproven(walk['at'], 'SESSION_UNPROVEN', session=session)
        elif walk['next'] < head[2]: self.find('RECORDS_MISSING', session=session, seq=walk['next'], toSeq=head[2] - 1)
        if walk['added']: self.find('RECORD_ADDED', session=session, seq=head[2])
        if walk['open']: self.unproven(walk['at'], 'SESSION_UNPROVEN', session=session, seq=head[2])
    def on_end(self, line):
        self.ended = True
        if line['lines'] != self.lines: self.find('FILE_CUT')
    def finish(self):
        self.end_session()
        if not self.ended: self.find('FILE_CUT')
        for ledger, last in self.ledgers.items():
            newest = max(self.logged.get(ledger, [-1]))
            if newest > last['number']: self.find('CHECKPOINT_MISSING', ledger=ledger, number=last['number'] + 1)
            elif newest < last['number'] and not last['covered']: self.unproven(last['at'], 'CHECKPOINT_UNLOGGED', ledger=ledger, number=last['number'])
        asked = (self.scope or {}).get('sessions')
        for ledger in set(self.logged) - set(self.ledgers) if asked is None else (): self.find('CHECKPOINT_MISSING', ledger=ledger, number=min(self.logged[ledger]))
        for session in (self.expected.keys() | set(asked or ())) - self.seen: self.find('SESSION_MISSING', session=session)
        if not self.head: self.find('TREE_HEAD_FORGED')
        elif self.proven != self.head.size: self.find('ENTRY_ALTERED', entry=self.proven)
        return {'ok': not self.findings, 'scope': self.scope or {}, 'findings': self.findings, 'notes': self.notes}

if __name__ == '__main__':
    options = argparse.ArgumentParser()
    options.add_argument('file')
    options.add_argument('--key', type=log_key, help='key of the control plane, got on another way than the file')
    given = options.parse_args()
    verifier = Verifier(given.key)
    try:
        for each in gzip.open(given.file):
            if each.endswith(b'\n'): verifier.take(each)
    except (EOFError, zlib.error, gzip.BadGzipFile): pass  # the file was cut: its last line is missed
    print(json.dumps(verifier.finish(), indent=2))
    sys.exit(1 if verifier.findings else 0)
