-- Join tokens given out by this node: single use, short-lived, the secret only as a hash.
create table join_tokens (
    -- 5 random bytes, the token's public part
    id bytea primary key,
    -- SHA-256 over a context string and the secret
    secret_sha256 bytea not null,
    -- code of the point that may join with it
    point text not null,
    created_us bigint not null,
    expires_us bigint not null,
    -- wrong secrets presented so far; at 5 the token is burnt
    failures bigint not null,
    -- SHA-256 of the TLS key that used it; empty until then
    used_by bytea not null,
    -- encoded EnrolResponse, given again to the same key; empty until then
    answer bytea not null
);
