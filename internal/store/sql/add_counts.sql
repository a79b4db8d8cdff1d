-- In the order of the key: two replicas that count at once then wait for each
-- other in one direction only.
insert into dcm.message_count (
    sender, endpoint, status, hour, messages, bytes)
select sender, endpoint, status, hour, messages, bytes
from unnest(@senders::text[], @endpoints::text[], @statuses::smallint[], @hours::timestamptz[], @messages::bigint[], @bytes::bigint[])
    as c (sender, endpoint, status, hour, messages, bytes)
order by sender, endpoint, status, hour
on conflict (sender, endpoint, status, hour) do update set
    messages = message_count.messages + excluded.messages,
    bytes = message_count.bytes + excluded.bytes
