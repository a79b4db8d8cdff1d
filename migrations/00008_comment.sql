-- +goose Up

-- IdBasedComment objects (CX-0128 §4.4). partner is the company at the other end;
-- originator wrote the comment, and alone may change or delete it. Of a deleted
-- comment only its ID and the time of deletion stay.
create table dcm.comment (
    partner text not null,
    supplier text not null,
    customer text not null,
    comment_id uuid not null,
    originator text not null,
    deleted_at timestamptz,
    deleted_at_nanosecond smallint,
    changed_at timestamptz,
    changed_at_nanosecond smallint,
    first_received_at timestamptz not null,
    received_at timestamptz not null,
    message_id uuid,
    content_hash bytea,
    object_id uuid,
    object_type text,
    author text,
    comment_type text,
    comment_text text,
    reference_dates date[],
    posted_at timestamptz,
    simulation_id uuid,
    primary key (partner, supplier, customer, comment_id),
    constraint partner_is_one_of_the_two check (partner in (supplier, customer)),
    constraint a_comment_has_its_columns check (deleted_at is not null or (changed_at is not null and object_id is not null and object_type is not null and author is not null)),
    constraint a_deleted_comment_has_nothing check (deleted_at is null or (
        changed_at is null and message_id is null and object_id is null and object_type is null and author is null and comment_type is null
        and comment_text is null and reference_dates is null and posted_at is null and simulation_id is null)),
    constraint text_has_at_most_5000_characters check (char_length(comment_text) <= 5000)
);
create index comment_object on dcm.comment (partner, object_id);

create view planning.comment as
select
    supplier, customer, comment_id,
    case object_type
        when 'urn:samm:io.catenax.week_based_capacity_group' then 'WeekBasedCapacityGroup'
        when 'urn:samm:io.catenax.week_based_material_demand' then 'WeekBasedMaterialDemand'
        else object_type
    end as object,
    object_id, author, comment_type, comment_text, reference_dates, posted_at, changed_at,
    case originator when partner then 'received' else 'sent' end as direction,
    received_at, message_id, simulation_id
from dcm.comment
where deleted_at is null;
comment on view planning.comment is 'One row per comment on a capacity group or material demand. A deleted comment is gone from here for ever.';
comment on column planning.comment.supplier is 'BPNL of the supplier of the relationship.';
comment on column planning.comment.customer is 'BPNL of the customer of the relationship.';
comment on column planning.comment.comment_id is 'UUID, unique for a supplier and customer only.';
comment on column planning.comment.object is 'What it is on: WeekBasedCapacityGroup or WeekBasedMaterialDemand.';
comment on column planning.comment.object_id is 'capacity_group_id or material_demand_id of that.';
comment on column planning.comment.author is 'Who wrote it: an e-mail address or a BPNL.';
comment on column planning.comment.comment_type is 'information, warning, default or actionRequired.';
comment on column planning.comment.comment_text is 'What is said. NULL if nothing was sent. It may have any characters, control characters too: escape it where it is shown.';
comment on column planning.comment.reference_dates is 'The Mondays of the weeks that it is about. Empty: no week in particular.';
comment on column planning.comment.posted_at is 'When it was first written; the time of receipt if not said.';
comment on column planning.comment.changed_at is 'When it was last changed, to the microsecond; the time of receipt if not said.';
comment on column planning.comment.direction is 'sent or received, as seen from us.';
comment on column planning.comment.received_at is 'When its last message came.';
comment on column planning.comment.message_id is 'messageId of that message. NULL if it had no header.';
comment on column planning.comment.simulation_id is 'Simulation that it belongs to. NULL: none.';
