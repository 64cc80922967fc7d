-- The shop: the e-commerce schema of the handbook, made to load on a PostgreSQL with nothing but contrib.
-- Where the handbook's text does not load, a comment says what differs.

-- Categories: products refer to them.
CREATE TABLE categories (
    id SERIAL PRIMARY KEY,
    name VARCHAR(100) NOT NULL UNIQUE
);

-- Users table with partitioning by registration date
CREATE TABLE users (
    id BIGSERIAL,
    email VARCHAR(255) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    first_name VARCHAR(100),
    last_name VARCHAR(100),
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP NOT NULL DEFAULT NOW(),
    PRIMARY KEY (id, created_at),
    -- A unique key of a partitioned table has to contain the column it is partitioned by.
    UNIQUE (email, created_at)
) PARTITION BY RANGE (created_at);

-- Partitions by quarter
CREATE TABLE users_2024_q1 PARTITION OF users
    FOR VALUES FROM ('2024-01-01') TO ('2024-04-01');

CREATE TABLE users_2024_q2 PARTITION OF users
    FOR VALUES FROM ('2024-04-01') TO ('2024-07-01');

-- ... and every quarter since, up to the next year.
DO $$
DECLARE
    quarter date := '2024-07-01';
BEGIN
    WHILE quarter < date_trunc('year', now()) + interval '2 years' LOOP
        EXECUTE format('CREATE TABLE users_%s PARTITION OF users FOR VALUES FROM (%L) TO (%L)',
                       to_char(quarter, 'YYYY"_q"Q'), quarter, quarter + interval '3 months');
        quarter := quarter + interval '3 months';
    END LOOP;
END $$;

-- Indexes
CREATE INDEX idx_users_email ON users USING btree (email);
CREATE INDEX idx_users_created_at ON users USING brin (created_at);

-- Products table with full-text search
CREATE TABLE products (
    id BIGSERIAL PRIMARY KEY,
    sku VARCHAR(50) NOT NULL UNIQUE,
    name VARCHAR(255) NOT NULL,
    description TEXT,
    price DECIMAL(10,2) NOT NULL,
    stock_quantity INTEGER NOT NULL DEFAULT 0,
    category_id INTEGER REFERENCES categories(id),
    search_vector tsvector GENERATED ALWAYS AS (
        to_tsvector('english', coalesce(name, '') || ' ' || coalesce(description, ''))
    ) STORED,
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP NOT NULL DEFAULT NOW()
);

-- Full-text search index
CREATE INDEX idx_products_search ON products USING gin (search_vector);
CREATE INDEX idx_products_category ON products (category_id);

-- Orders table with proper foreign keys
CREATE TABLE orders (
    id BIGSERIAL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    -- Part of the key of users, hence of the reference to it.
    user_created_at TIMESTAMP NOT NULL,
    status VARCHAR(20) NOT NULL DEFAULT 'pending',
    total_amount DECIMAL(10,2) NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMP NOT NULL DEFAULT NOW(),
    FOREIGN KEY (user_id, user_created_at) REFERENCES users (id, created_at),
    CONSTRAINT chk_order_status CHECK (status IN ('pending', 'processing', 'shipped', 'delivered', 'cancelled'))
);

CREATE INDEX idx_orders_user_id ON orders (user_id);
CREATE INDEX idx_orders_status ON orders (status) WHERE status IN ('pending', 'processing');
CREATE INDEX idx_orders_created_at ON orders (created_at DESC);

-- Order items (denormalized for performance)
CREATE TABLE order_items (
    id BIGSERIAL PRIMARY KEY,
    order_id BIGINT NOT NULL REFERENCES orders(id) ON DELETE CASCADE,
    product_id BIGINT NOT NULL REFERENCES products(id),
    product_name VARCHAR(255) NOT NULL,  -- Denormalized
    product_price DECIMAL(10,2) NOT NULL,  -- Denormalized
    quantity INTEGER NOT NULL,
    subtotal DECIMAL(10,2) NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT NOW()
);

CREATE INDEX idx_order_items_order_id ON order_items (order_id);

-- Materialized view for analytics
CREATE MATERIALIZED VIEW daily_sales AS
SELECT
    DATE(created_at) as sale_date,
    COUNT(*) as order_count,
    SUM(total_amount) as total_revenue,
    AVG(total_amount) as avg_order_value
FROM orders
WHERE status NOT IN ('cancelled')
GROUP BY DATE(created_at)
ORDER BY sale_date DESC;

CREATE UNIQUE INDEX idx_daily_sales_date ON daily_sales (sale_date);

-- pg_cron is not part of contrib: the demo's own clock refreshes the view.
