BEGIN TRANSACTION;
CREATE TABLE checksums (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            crc32 INTEGER NOT NULL
        );
INSERT INTO "checksums" VALUES(1,20453095);
CREATE TABLE embedding_runtimes (
            embedding_id INTEGER NOT NULL REFERENCES embeddings (id) ON DELETE CASCADE,
            runtime TEXT NOT NULL,
            precision TEXT NOT NULL,
            PRIMARY KEY (embedding_id, runtime, precision)
        );
INSERT INTO "embedding_runtimes" VALUES(1,'torch','bfloat16');
CREATE TABLE "embeddings" (
            id INTEGER PRIMARY KEY,
            video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            model_id INTEGER NOT NULL REFERENCES models (id),
            window_length_s REAL NOT NULL,
            window_stride_s REAL NOT NULL,
            window_frames INTEGER NOT NULL,
            windows INTEGER NOT NULL,
            first_vector_id INTEGER NOT NULL,
            vectors BLOB NOT NULL,
            UNIQUE (video_id, model_id)
        );
INSERT INTO "embeddings" VALUES(1,1,1,8.0,4.0,8,2,1165442331592097792,X'003C0000000000000000003C00000000');
CREATE TABLE hits (
            number INTEGER PRIMARY KEY,
            path NOT NULL,
            start_s REAL NOT NULL,
            end_s REAL NOT NULL,
            best_s REAL NOT NULL,
            score REAL NOT NULL,
            model TEXT NOT NULL,
            offline INTEGER NOT NULL
        , "fingerprint" TEXT);
INSERT INTO "hits" VALUES(1,'/videos/a.mp4',0.0,8.0,4.0,1.0,'nano',0,NULL);
CREATE TABLE last_query (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL);
INSERT INTO "last_query" VALUES(1,'a red ball');
CREATE TABLE models (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            dim INTEGER NOT NULL,
            changes INTEGER NOT NULL DEFAULT 0
        );
INSERT INTO "models" VALUES(1,'nano',4,1);
CREATE TABLE roots (
            id INTEGER PRIMARY KEY,
            path NOT NULL UNIQUE,
            is_folder INTEGER NOT NULL,
            device TEXT NOT NULL,
            inode TEXT NOT NULL
        );
INSERT INTO "roots" VALUES(1,'/videos',1,'fs1','2');
CREATE TABLE still_windows (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            windows INTEGER NOT NULL
        );
CREATE TABLE videos (
            id INTEGER PRIMARY KEY,
            path NOT NULL UNIQUE,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            device TEXT NOT NULL,
            fingerprint TEXT,
            state TEXT NOT NULL CHECK (state IN ('indexed', 'failed')),
            error_kind TEXT,
            error TEXT,
            start_s REAL,
            duration_s REAL,
            fps REAL,
            frames INTEGER,
            width_px INTEGER,
            height_px INTEGER,
            codec TEXT,
            container TEXT,
            rotation_deg INTEGER,
            reader TEXT,
            damage TEXT
        , recorded_s REAL, dated INTEGER NOT NULL DEFAULT 0);
INSERT INTO "videos" VALUES(1,'/videos/a.mp4',1000,1700000000000000000,'fs1','1000:abc','indexed',NULL,NULL,0.5,18.25,29.97,547,640,360,'h264','mov,mp4',90,'pyav',NULL,NULL,1);
INSERT INTO "videos" VALUES(2,'/videos/b.mp4',2000,1700000000000000000,'fs1','2000:def','failed','corrupt','/videos/b.mp4 is broken',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
CREATE TABLE window_kinds (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            kind TEXT NOT NULL
        );
CREATE TABLE window_pictures (
            embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
            grey BLOB NOT NULL
        );
CREATE TABLE windows (
            embedding_id INTEGER NOT NULL REFERENCES "embeddings" (id) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL,
            start_s REAL NOT NULL,
            end_s REAL NOT NULL,
            PRIMARY KEY (embedding_id, ordinal)
        ) WITHOUT ROWID;
INSERT INTO "windows" VALUES(1,0,0.0,8.0);
INSERT INTO "windows" VALUES(1,1,4.0,12.0);
CREATE INDEX videos_by_fingerprint ON videos (fingerprint);
CREATE UNIQUE INDEX embeddings_by_vector_id ON embeddings (model_id, first_vector_id, windows);
CREATE TRIGGER embedding_comes AFTER INSERT ON embeddings BEGIN
            UPDATE models SET changes = changes + 1 WHERE id = new.model_id;
        END;
CREATE TRIGGER embedding_leaves AFTER DELETE ON embeddings BEGIN
            UPDATE models SET changes = changes + 1 WHERE id = old.model_id;
        END;
CREATE INDEX embeddings_by_video ON embeddings (model_id, video_id, first_vector_id, windows);
COMMIT;
PRAGMA application_id = 1986618483;
PRAGMA user_version = 8;
