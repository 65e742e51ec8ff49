#!/usr/bin/env python3
"""Verifies an evidence file without any of Sallyport's code, from docs/reference/evidence-format.md alone. Needs Python 3.9 and
`cryptography` (for Ed25519). Prints what it finds as JSON; the exit code is 0 only when that is nothing.
    python3 verify-evidence.py FILE [--key KEY] [--heads KEPT]"""
import argparse, base64, datetime, gzip, hashlib, json, re, sys, zlib
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
FRESH_MS, CLOCKS_APART_MS, OPEN = 60_000, 3_600_000, ('AgentJoined', 'CheckpointsLogged', 'LegalHoldPlaced', 'LegalHoldReleased', 'EvidenceExpired', 'ContentsShredded')
TWO_NUMBERS = re.compile(rb'([\x80-\xff]{0,7}[\0-\x7f])([\x80-\xff]{0,7}[\0-\x7f])')
sha256 = lambda data: hashlib.sha256(data).digest()
node, half = lambda left, right: sha256(b'\1' + left + right), lambda low, high: low + (1 << (high - low - 1).bit_length() - 1)
unbase64 = lambda text: base64.b64decode(text, validate=True)
milliseconds = lambda text: datetime.datetime.fromisoformat(text.replace('Z', '+00:00')).timestamp() * 1000
tag = lambda what, session, name: sha256(f'{what}\0{session}\0{name}'.encode())[:16]
started = lambda session: int('0' + re.match('[0-9a-fA-F]*', session[:13].replace('-', '', 1)).group(), 16)
def is_signed(key, message, signature):
    try: return Ed25519PublicKey.from_public_bytes(key).verify(signature, message) is None
    except (InvalidSignature, ValueError): return False
def fields(data, otherwise={}):  # a protobuf message of numbers and byte strings as {field: last value}; `otherwise` for what is none
    found, at = {}, 0
    while at < len(data):
        match = TWO_NUMBERS.match(data, at)
        if not match: return otherwise
        tag, value = (sum((byte & 127) << 7 * i for i, byte in enumerate(part)) for part in match.groups())
        value, at = (value, match.end()) if tag & 7 != 2 else (data[match.end():match.end() + value], match.end() + value)
        if tag < 8 or tag & 7 not in (0, 2) or at > len(data): return otherwise
        found[tag >> 3] = value
    return found
def range_root(leaves, first, size, proof):  # (RFC 9162) of a tree of `size` leaves; leaves[0] is number `first`; empty when the proof does not fit
    proof, end = iter(proof), first + len(leaves)
    def walk(low, high):
        if high <= first or low >= end: return next(proof, b'')
        return leaves[low - first] if high - low == 1 else node(walk(low, half(low, high)), walk(half(low, high), high))
    root = walk(0, size) if leaves and 0 <= first < end <= size else b''
    return root if next(proof, None) is None else b''
def goes_on(old, new, proof):  # is the tree of `old` the beginning of that of `new` (RFC 9162, consistency proof)?
    proof = iter(proof)
    def walk(low, high, whole):  # the root as it was and as it is
        if high == old.size: return (old.root if whole else next(proof, b''),) * 2
        (was, now), other = walk(low, half(low, high), whole) if old.size <= half(low, high) else walk(half(low, high), high, False), next(proof, b'')
        return (was, node(now, other)) if old.size <= half(low, high) else (node(other, was), node(other, now))
    return 0 < old.size <= new.size and walk(0, new.size, True) == (old.root, new.root) and next(proof, None) is None
def log_key(text):  # (name, id, Ed25519 key) of NAME+ID+BASE64 (C2SP signed-note)
    name, ident, raw = (part if at < 2 else unbase64(part) for at, part in enumerate(text.strip().split('+', 2)))
    if len(raw) != 33 or raw[0] != 1 or sha256(name.encode() + b'\n' + raw)[:4].hex() != ident: raise ValueError('no key')
    return name, bytes.fromhex(ident), raw[1:]
class Head:  # a signed head of the control log (C2SP tlog-checkpoint)
    def __init__(self, note, key):
        text, _, marks = note.partition('\n\n')
        name, size, root, *rest = text.split('\n')
        self.size, self.root, self.at = int(size), unbase64(root), milliseconds(rest[0][len('time '):])
        marks = ((line.split(' ')[1], unbase64(line.split(' ')[2])) for line in marks.split('\n') if line)
        self.good = any((who, raw[:4]) == key[:2] and who == name and is_signed(key[2], (text + '\n').encode(), raw[4:]) for who, raw in marks)
class Verifier:
    scope = head = span = walk = first = ended = None
    def __init__(self, key, kept):
        self.key, self.kept, self.findings, self.notes, self.seen, self.lines = key, kept, [], [], set(), 0
        self.agents, self.logged, self.ledgers, self.expected, self.proofs, self.holds, self.expiries, self.shreds, self.retention = {}, {}, {}, {}, {}, {}, [], [], 0
    def find(self, code, **where): self.findings.append({'code': code, **where})
    def is_new(self, at_us): return bool(self.head) and -FRESH_MS <= self.head.at - at_us / 1000 < FRESH_MS
    def unproven(self, is_new, code, **where):  # what is new may not have reached the log yet
        self.notes.append({'code': 'NOT_YET_COVERED', **where}) if is_new else self.find(code, **where)
    def take(self, text):
        self.lines += 1
        try:
            line = json.loads(text)
            if self.ended or (self.scope is None) != (line['type'] == 'header'): raise ValueError('out of place')
            if line['type'] != 'entry' and self.span and not self.span['done']: self.end_span()
            if line['type'] != 'record' and self.walk: self.end_session()
            if line['type'] != 'timestamp': getattr(self, 'on_' + line['type'].replace('-', '_'))(line)  # RFC 3161 is for `openssl ts -verify`
        except (ValueError, KeyError, TypeError, AttributeError):
            if {'code': 'FILE_MALFORMED'} not in self.findings: self.find('FILE_MALFORMED')
    def on_header(self, line):
        self.scope, self.key = line['scope'] if line['format'] == 'sallyport-evidence/1' else None, self.key or log_key(line['key'])
        began = [started(each) for each in self.scope.get('sessions', [])] or [milliseconds(self.scope[key]) for key in self.scope if key == 'from']
        self.first = min(began, default=None)  # the earliest moment at which a session in scope can have begun
    def on_tree_head(self, line):
        if self.head: raise ValueError('a second head')
        self.head, self.note = Head(line['note'], self.key), line['note']; self.head.good or self.find('TREE_HEAD_FORGED')
    def on_consistency(self, line): self.proofs[line['size']] = [unbase64(each) for each in line['proof']]
    def on_range(self, line): self.span = {**line, 'proof': [unbase64(each) for each in line['proof']], 'leaves': [], 'open': [], 'at': None, 'done': False}
    def on_entry(self, line):  # of the control log: each leads to the signed head, and none is left out that a session in scope may rest on
        span, index = self.span, self.span['from'] + len(self.span['leaves'])
        event = fields(unbase64(line['value'])) if 'value' in line else {2: line['stream'].encode(), 4: line['event'].encode()}
        stream, kind, digest = event.get(2, b''), event.get(4, b''), sha256(unbase64(line['value'])) if 'value' in line else unbase64(line['sha256'])
        if kind.decode() in OPEN and 'value' not in line: self.find('ENTRY_ALTERED', entry=index)
        elif kind.decode() in OPEN: span['open'].append((index, stream.decode(), event.get(3, 0), kind, json.loads(event[6])))
        if not span['leaves']: span['at'] = event.get(7)
        span['leaves'].append(sha256(b'\0' + stream + b'\0' + kind + b'\0' + digest))
    def end_span(self):
        span, self.span['done'] = self.span, True
        root = self.head and range_root(span['leaves'], span['from'], self.head.size, span['proof'])
        if not root or root != self.head.root or span['from'] + len(span['leaves']) != span['to']: self.find('ENTRY_ALTERED', entry=span['from'])
        for index, stream, version, kind, payload in span['open']:
            if stream == 'retention/log' and version >= self.retention: self.retain(index, version, kind, payload)
            if 'details' in payload: self.agents.setdefault(stream[len('agent/'):], unbase64(payload['details']['keys']['signingKey']))
            for statement in (unbase64(each['statement']) for each in payload.get('checkpoints', ())):
                self.logged.setdefault(fields(statement)[2].decode(), {})[fields(statement).get(3, 0)] = sha256(statement)
            for each in payload.get('conflicts', ()): self.find('CHECKPOINT_FORK', entry=index, ledger=each['ledger'], number=each['number'])
    def retain(self, index, version, kind, payload):  # legal holds and deletions: of two entries with one version the first counts
        self.retention = version + 1
        if kind == b'LegalHoldPlaced': self.holds[payload['id']] = [payload, True]
        elif kind == b'LegalHoldReleased': self.holds.get(payload['id'], [None, None])[1] = False
        elif kind == b'ContentsShredded': self.shreds.append(payload)
        elif kind == b'EvidenceExpired':
            if set(payload.get('holds', ())) - self.holds.keys(): self.find('ENTRY_ALTERED', entry=index)
            self.expiries.append((payload, [hold for ident, (hold, in_force) in self.holds.items() if in_force or ident in payload.get('holds', ())]))
    def is_before(self, at_us): return None not in (at_us, self.first) and at_us / 1000 < self.first - CLOCKS_APART_MS
    def on_checkpoint(self, line):  # signed by the agent, chained, none left out: they say where each session stands
        raw, heads = unbase64(line['statement']), [unbase64(each) for each in line['heads']]
        said, digest = fields(raw), sha256(raw)
        agent, ledger, number, last = said[1].decode(), said[2].decode(), said.get(3, 0), self.ledgers.get(said[2].decode())
        place = {'ledger': ledger, 'number': number}
        if agent not in self.agents: return self.find('KEY_UNKNOWN', **place)
        if not is_signed(self.agents[agent], b'sallyport-checkpoint-v1\0' + raw, unbase64(line['signature'])): return self.find('CHECKPOINT_FORGED', **place)
        logged, after = self.logged.get(ledger, {}).get(number), last['number'] + 1 if last else 0
        if number > after and (last or not self.is_before(said.get(4, 0))): self.find('CHECKPOINT_MISSING', ledger=ledger, number=after)
        elif last and (number < after or (number == after and (said.get(5, b''), agent) != (last['hash'], last['agent']))): self.find('CHECKPOINT_FORK', **place)
        if logged and logged != digest: self.find('CHECKPOINT_FORK', **place)
        self.ledgers[ledger] = {'number': number, 'hash': digest, 'agent': agent, 'at': said.get(4, 0), 'covered': logged == digest or bool(last and last['covered'])}
        root = range_root([sha256(b'\0' + each) for each in heads], 0, len(heads), ()) or sha256(b'')
        if len(heads) != said.get(7, 0) or said[6] != root: return self.find('HEADS_ALTERED', **place)
        for session, head in ((each[1].decode(), {2: 0, 3: b'', 4: 0, **each}) for each in map(fields, heads)):
            if not self.in_scope(session, head): continue
            old = self.expected.get(session, {2: 0, 4: 0, 'ledger': ledger, 'heads': {}, 'ended': None})
            if old['ledger'] != ledger or head[2] < old[2] or head[4] < old[4] or old['heads'].setdefault(head[2], head[3]) != head[3]:
                self.find('CHECKPOINT_FORK', session=session, **place)  # a session is named by one ledger, and never goes back there
            else: self.expected[session] = {**old, **head, 'ended': old['ended'] or (said.get(4, 0) if head[4] else None)}
    def in_scope(self, session, head):
        if 'sessions' in (scope := self.scope): return session in scope['sessions']
        if 'from' in scope and started(session) < milliseconds(scope['from']) or 'to' in scope and started(session) >= milliseconds(scope['to']): return False
        return self.is_about(scope, session, head)
    def is_about(self, what, session, head):  # does what a scope, a legal hold or a deletion names of person and resource match?
        return all(what.get(key) is None or head.get(field) == tag(name, session, what[key]) for key, field, name in (('person', 5, 'principal'), ('resource', 6, 'resource')))
    def on_session(self, line):  # each record holds the hash of the one before, and the signed heads hold those of some
        session, head = line['session'], self.expected.get(line['session'])
        head and session in self.seen and self.find('RECORD_REPEATED', session=session); self.seen.add(session)
        self.walk = {'id': session, 'next': 0, 'hash': None, 'holes': set(), 'gaps': set(), 'at': 0, 'added': 0, 'open': 0, 'new': True, 'head': head}
    def on_record(self, line):
        walk, raw = self.walk, unbase64(line['bytes'])
        found, said = lambda code, seq: self.find(code, session=walk['id'], seq=seq), fields(raw, None)
        if said is None: return found('RECORD_ALTERED', walk['next'])
        if said.get(1, b'').decode('latin1') != walk['id']: return found('RECORD_FOREIGN', said.get(2, 0))
        seq, head, digest, walk['at'] = said.get(2, 0), walk['head'], sha256(raw), said.get(3, 0)
        if seq < walk['next']: return found('RECORD_REORDERED' if seq in walk['holes'] else 'RECORD_REPEATED', seq), walk['holes'].discard(seq)
        walk['holes'].update(range(walk['next'], seq))
        if seq == walk['next'] and (walk['hash'] != said.get(4, None) if walk['hash'] else seq == 0 and said.get(4)): found('RECORD_ALTERED', max(seq - 1, 0))
        walk['hash'], walk['next'] = digest, seq + 1
        if head and head['heads'].get(seq + 1, digest) != digest: found('RECORD_ALTERED', seq)
        if head and seq >= head[2]: walk.update({'new': walk['new'] and self.is_new(walk['at']), (end := 'added' if head.get(4) else 'open'): walk[end] + 1})
        if 15 in said: walk['gaps'] = walk['gaps'] | {(fields(said[15]).get(1, 0), fields(said[15]).get(2, 0), seq)}
    def end_session(self):
        walk, self.walk = self.walk, None
        session, head, top = walk['id'], walk['head'], max(walk['holes'], default=-1); holes = {seq for seq in walk['holes'] if not any(first <= seq <= last and at > top for first, last, at in walk['gaps'])}
        for first in sorted(seq for seq in holes if seq - 1 not in holes):
            self.find('RECORDS_MISSING', session=session, seq=first, toSeq=next(seq for seq in range(first, walk['next']) if seq + 1 not in holes))
        if not head: self.unproven(self.is_new(started(session) * 1000) and self.is_new(walk['at']), 'SESSION_UNPROVEN', session=session)
        elif walk['next'] < head[2]: self.find('RECORDS_MISSING', session=session, seq=walk['next'], toSeq=head[2] - 1)
        walk['added'] and self.find('RECORD_ADDED', session=session, seq=head[2]); walk['open'] and self.unproven(walk['new'], 'SESSION_UNPROVEN', session=session, seq=head[2])
    def on_report(self, line):
        is_signed(self.key[2], f'sallyport-report-v1\0{self.note}\0{line["html"]}'.encode(), unbase64(line['signature'])) or self.find('REPORT_FORGED')
    def on_end(self, line): self.ended = line['lines'] == self.lines or not self.find('FILE_CUT')
    def has_expired(self, session, head):  # deleted by right: that was logged, and no legal hold was about it
        is_held = lambda hold: hold.get('session', session) == session and self.is_about(hold, session, head)
        return head['ended'] is not None and any(
            started(session) < said['beforeMs'] > head['ended'] / 1000 - CLOCKS_APART_MS and self.is_about(said, session, head) and not any(map(is_held, holds))
            for said, holds in self.expiries)
    def finish(self):
        self.walk and self.end_session(); self.ended or self.find('FILE_CUT')
        for ledger, last in self.ledgers.items():
            newest = max(self.logged.get(ledger, [-1]))
            if newest > last['number']: self.find('CHECKPOINT_MISSING', ledger=ledger, number=last['number'] + 1)
            elif not last['covered'] and newest < last['number'] and last['at'] / 1000 >= (self.first or 0): self.unproven(self.is_new(last['at']), 'CHECKPOINT_UNLOGGED', ledger=ledger, number=last['number'])
        for ledger in self.logged.keys() - self.ledgers: self.find('CHECKPOINT_MISSING', ledger=ledger, number=min(self.logged[ledger]))
        for session in (self.expected.keys() | set((self.scope or {}).get('sessions', ()))) - self.seen:
            if not self.has_expired(session, self.expected.get(session, {'ended': None})): self.find('SESSION_MISSING', session=session)
        for said in self.shreds:  # made unreadable by right: the records are whole
            about = [session for session in self.seen & self.expected.keys() if self.is_about({'person': said['person']}, session, self.expected[session])]
            if count := sum(started(session) <= said['throughMs'] for session in about):
                self.notes.append({'code': 'SHREDDED', 'sessions': count, **{key: said[key] for key in ('person', 'throughMs', 'askedBy', 'confirmedBy', 'reason')}})
        if not self.head: return self.find('TREE_HEAD_FORGED')
        span = self.span or {'from': 0, 'to': 0, 'at': None, 'leaves': []}
        span['from'] > 0 and not self.is_before(span['at']) and self.find('ENTRY_ALTERED', entry=0); span['to'] != self.head.size and self.find('ENTRY_ALTERED', entry=span['to'])
        for old in (Head(note, self.key) for note in self.kept):
            known, proof = range_root(span['leaves'][:old.size], 0, old.size, ()) if span['from'] == 0 else b'', self.proofs.get(old.size)
            if not old.good: self.find('KEPT_HEAD_FORGED')
            elif old.size > self.head.size: self.find('FILE_OLDER' if self.head.at < old.at else 'LOG_ROLLED_BACK', entry=self.head.size)
            elif known != old.root and (proof is None or not goes_on(old, self.head, proof)):
                self.find('HEAD_UNPROVEN' if not known and proof is None and old.size < self.head.size else 'LOG_SPLIT', entry=old.size)
if __name__ == '__main__':
    options = argparse.ArgumentParser()
    for name, kind in {'file': str, '--key': log_key, '--heads': argparse.FileType(encoding='utf-8')}.items(): options.add_argument(name, type=kind)
    given = options.parse_args()
    verifier = Verifier(given.key, re.findall('(?:[^\n\u2014].*\n)+\n(?:\u2014 .*\n)+', given.heads.read()) if given.heads else [])
    try:
        for each in filter(lambda line: line.endswith(b'\n'), gzip.open(given.file)): verifier.take(each)
    except (EOFError, zlib.error, gzip.BadGzipFile): pass  # the file was cut: its last line is missed
    verifier.finish()
    print(json.dumps({'ok': not verifier.findings, 'scope': verifier.scope, 'findings': verifier.findings, 'notes': verifier.notes}, indent=2))
    sys.exit(1 if verifier.findings else 0)
