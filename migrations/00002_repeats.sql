-- +goose Up

-- That a message is a repeat follows from the order of arrival, which the id
-- keeps. Counting repeats at each write took a look-up, and made two of them
-- that came at one moment collide.
create or replace view planning.message as
select
    m.id, m.received_at, m.endpoint, m.sender, m.message_id,
    exists (select from dcm.message e where e.sender = m.sender and e.message_id = m.message_id and e.id < m.id) as is_repeat,
    m.contract_agreement_id, m.status, m.objects, m.bytes, m.duration, m.errors, m.more_errors
from dcm.message m;
comment on column planning.message.is_repeat is 'True if the sender used the same messageId in an earlier message that is still in the journal: a retry, as a rule.';

drop index dcm.message_repeat;
alter table dcm.message drop column repeat;
create index message_message_id on dcm.message (sender, message_id) where message_id is not null;
