-- Who signs in here. Local to this database: never part of a feed.
create table accounts (
    id bytea primary key,
    name text not null unique,
    role text not null,
    point text not null,
    -- PHC string of Argon2id, with its parameters and salt.
    password_hash text not null,
    created_us bigint not null,
    disabled_us bigint
);

-- Open sessions. A row past its end is dead whether or not it was deleted yet.
create table sessions (
    -- SHA-256 of the token.
    token_hash bytea primary key,
    account bytea not null references accounts (id),
    used_us bigint not null,
    expires_us bigint not null
);

create index sessions_by_account on sessions (account);
create index sessions_by_end on sessions (expires_us);
