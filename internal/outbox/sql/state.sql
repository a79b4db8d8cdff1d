select
    count(*) filter (where state in ('waiting', 'sending'))::float8,
    coalesce(extract(epoch from now() - min(queued_at) filter (where state in ('waiting', 'sending'))), 0)::float8,
    count(*) filter (where state = 'refused')::float8,
    count(distinct partner) filter (where state in ('waiting', 'sending') and attempts >= 3)::float8,
    greatest(
        coalesce(extract(epoch from now() - min(queued_at) filter (where state in ('waiting', 'sending') and answers_message_id is not null)), 0),
        (select coalesce(extract(epoch from now() - min(requested_at)), 0) from dcm.requested_update where answered_at is null))::float8
from dcm.delivery
where state in ('waiting', 'sending', 'refused')
