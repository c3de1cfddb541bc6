-- The least that each part of embed-search needs of its database. Run as its owner: a superuser, or a role that owns
-- the database and may create roles. May be run again, and after each upgrade should be.
--
--   owner                  whoever runs this: makes the extension, the schema and the table of generations
--   embed_search_writer    the indexer: makes, fills and drops the tables of generations, and owns them
--   embed_search_reader    the API: reads, and nothing else

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'embed_search_writer') THEN
        CREATE ROLE embed_search_writer LOGIN NOINHERIT;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'embed_search_reader') THEN
        CREATE ROLE embed_search_reader LOGIN NOINHERIT;
    END IF;
    -- An owner that is no superuser must be a member of the role to which it hands tables.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT embed_search_writer TO %I', current_user);
    END IF;
END $$;

-- The API sets a shorter limit for each search. What it holds open between two statements it has forgotten.
ALTER ROLE embed_search_reader CONNECTION LIMIT 64;
ALTER ROLE embed_search_reader SET default_transaction_read_only = on;
ALTER ROLE embed_search_reader SET statement_timeout = '10s';
ALTER ROLE embed_search_reader SET idle_in_transaction_session_timeout = '60s';

DO $$
DECLARE
    generation record;
    extension_schema text;
BEGIN
    -- By default everybody may make temporary tables, and up to PostgreSQL 14 any table in `public`.
    EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO embed_search_writer, embed_search_reader', current_database());
    IF to_regnamespace('public') IS NOT NULL THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    END IF;
    SELECT nspname INTO extension_schema
        FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector';
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO embed_search_writer, embed_search_reader', extension_schema);

    REVOKE ALL ON SCHEMA embed_search FROM PUBLIC;
    GRANT USAGE, CREATE ON SCHEMA embed_search TO embed_search_writer;
    GRANT USAGE ON SCHEMA embed_search TO embed_search_reader;
    GRANT SELECT, INSERT, UPDATE, DELETE ON embed_search.generations TO embed_search_writer;
    GRANT SELECT ON embed_search.generations TO embed_search_reader;

    -- Generations that are to come, and those of a time when the owner itself was the indexer.
    ALTER DEFAULT PRIVILEGES FOR ROLE embed_search_writer IN SCHEMA embed_search
        GRANT SELECT ON TABLES TO embed_search_reader;
    FOR generation IN
        SELECT tablename FROM pg_tables WHERE schemaname = 'embed_search' AND tablename <> 'generations'
    LOOP
        EXECUTE format('ALTER TABLE embed_search.%I OWNER TO embed_search_writer', generation.tablename);
        EXECUTE format('GRANT SELECT ON embed_search.%I TO embed_search_reader', generation.tablename);
    END LOOP;
END $$;
