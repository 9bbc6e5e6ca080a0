-- A state database as version 1 of the schema left it, with rows in every table.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE alternates (key BLOB PRIMARY KEY, ids BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO "alternates" VALUES(X'06CC40B7E5A43FD4D0FB02ADE5ECF121EB3AD74D',X'050000000600000007000000');
CREATE TABLE decisions (response TEXT PRIMARY KEY, verdict TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "decisions" VALUES('a622a3851988c5035a6b66f7','approved');
INSERT INTO "decisions" VALUES('c62633cce632ed276a0e3b9f','rejected');
INSERT INTO "decisions" VALUES('c8f411567f568cca0871ff1e','approved');
CREATE TABLE memories (
    model TEXT NOT NULL,
    key TEXT NOT NULL,
    weight REAL NOT NULL,          -- nats, moving average
    last_scored REAL NOT NULL,     -- unix seconds
    times INTEGER NOT NULL,
    PRIMARY KEY (model, key)
) WITHOUT ROWID;
INSERT INTO "memories" VALUES('tiny','db/port',87.98,1795000000.0,1);
INSERT INTO "memories" VALUES('tiny','mira/room',0.25,1795000100.0,1);
CREATE TABLE samples (
    shipment TEXT NOT NULL REFERENCES shipments (key),
    response TEXT NOT NULL,
    position INTEGER NOT NULL,     -- index of the response in the matrix when it was sent
    divergence REAL,               -- nats, all memories stripped
    PRIMARY KEY (shipment, response)
) WITHOUT ROWID;
INSERT INTO "samples" VALUES('00000000-0000-4000-8000-000000000001','c8f411567f568cca0871ff1e',0,9.5);
INSERT INTO "samples" VALUES('00000000-0000-4000-8000-000000000002','a622a3851988c5035a6b66f7',1,NULL);
INSERT INTO "samples" VALUES('00000000-0000-4000-8000-000000000003','c62633cce632ed276a0e3b9f',2,9.5);
INSERT INTO "samples" VALUES('00000000-0000-4000-8000-000000000004','4f30b2c7a15d56ad60520591',3,9.5);
INSERT INTO "samples" VALUES('00000000-0000-4000-8000-000000000005','4f30b2c7a15d56ad60520591',3,9.5);
INSERT INTO "samples" VALUES('00000000-0000-4000-8000-000000000006','4f30b2c7a15d56ad60520591',3,9.5);
CREATE TABLE scores (
    key BLOB PRIMARY KEY,          -- see memscope.store.scores
    total REAL NOT NULL,           -- nats
    tokens BLOB NOT NULL,          -- float32, log-probability of each token in nats
    used INTEGER NOT NULL          -- unix seconds, for eviction
) WITHOUT ROWID;
INSERT INTO "scores" VALUES(X'4B1B65BA44854CA95405BCAA8359A620E0DE674E',-3.5,X'0000C0BF000000C0',1795000000);
INSERT INTO "scores" VALUES(X'5E6421673376F05A22332E112771B9FABAB849A1',-0.75,X'000080BE000080BE000080BE',1795000000);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "settings" VALUES('alternates','true');
INSERT INTO "settings" VALUES('threshold','2.5');
INSERT INTO "settings" VALUES('training_context','"with"');
INSERT INTO "settings" VALUES('trusted http://10.0.0.1/v1/train','true');
CREATE TABLE shipments (
    key TEXT PRIMARY KEY,          -- the Idempotency-Key it is sent under
    state TEXT NOT NULL,           -- see memscope.store.ledger
    owner TEXT NOT NULL,           -- the process that is sending it
    url TEXT NOT NULL,
    model TEXT NOT NULL,
    session TEXT NOT NULL,
    context TEXT NOT NULL,         -- with or without memories
    created REAL NOT NULL,         -- unix seconds
    job TEXT,
    error TEXT,
    proof TEXT                     -- JSON: divergences before and after
) WITHOUT ROWID;
INSERT INTO "shipments" VALUES('00000000-0000-4000-8000-000000000001','succeeded','4194000:1','http://127.0.0.1:8000/v1/train','tiny','small','without',1795000001.0,'job-1',NULL,'{"before":{"stripped":{"0":9.5},"logprob":{"0":-3.0,"1":-4.0}},"after":{"stripped":{"0":0.5},"logprob":{"0":-2.0,"1":-4.5}}}');
INSERT INTO "shipments" VALUES('00000000-0000-4000-8000-000000000002','accepted','4194000:1','http://127.0.0.1:8000/v1/train','tiny','small','without',1795000002.0,'job-2',NULL,NULL);
INSERT INTO "shipments" VALUES('00000000-0000-4000-8000-000000000003','in doubt','4194000:1','http://127.0.0.1:8000/v1/train','tiny','small','without',1795000003.0,NULL,'connection lost',NULL);
INSERT INTO "shipments" VALUES('00000000-0000-4000-8000-000000000004','failed','4194000:1','http://127.0.0.1:8000/v1/train','tiny','small','without',1795000004.0,NULL,'422 no',NULL);
INSERT INTO "shipments" VALUES('00000000-0000-4000-8000-000000000005','sent','4194000:1','embedded scorer http://127.0.0.1:8000/v1/train','tiny','small','without',1795000005.0,NULL,NULL,NULL);
INSERT INTO "shipments" VALUES('00000000-0000-4000-8000-000000000006','prepared','4194000:1','http://127.0.0.1:8000/v1/train','tiny','small','without',1795000006.0,NULL,NULL,NULL);
CREATE INDEX scores_used ON scores (used);
CREATE INDEX samples_response ON samples (response);
COMMIT;
