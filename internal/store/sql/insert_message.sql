-- A repeat is counted from what is committed; two at the same moment collide in
-- the unique index, and one is decided again.
insert into dcm.message (
    sender, id, received_at, endpoint, message_id, message_id_as_sent, repeat,
    contract_agreement_id, status, objects, bytes, duration, errors, more_errors,
    capacity_group_id, rule, object_errors
)
select
    @sender, @id, @received_at, @endpoint, @message_id, @message_id_as_sent,
    coalesce((select max(e.repeat) + 1 from dcm.message e where e.sender = @sender and e.message_id = @message_id), 0),
    @contract_agreement_id, @status, @objects, @bytes, @duration, @errors::jsonb, @more_errors,
    @capacity_group_ids, @rules, @object_errors::jsonb
