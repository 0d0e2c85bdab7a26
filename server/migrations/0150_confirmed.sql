-- who has set the password last, other than its owner; empty: nobody, or the node's operator
alter table accounts add column password_by text not null default '';
-- who else has made sure since then that the account is in its owner's hands
alter table accounts add column confirmed_by text not null default '';
