import { Paper, SimpleGrid } from '@mantine/core';
import type { Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { CopyText } from '../../kit/CopyText';
import { Facts } from '../../kit/Facts';
import { productSecret, Secret } from '../../kit/Secret';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { words } from './text';

export function Info({ product }: { product: Schemas['Product'] }) {
  const t = words.use();
  const kit = kitWords.use();
  const { may } = useSession();
  const yes = (on: boolean) => (on ? kit.yes : kit.no);
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }}>
      <Paper withBorder p="md">
        <Facts
          of={[
            [t.sn, <CopyText value={product.productSN} />],
            [t.name, product.name],
            [t.kind, t[product.kind]],
            [t.description, product.description],
            [t.secret, may('device.secret', product.productSN) && <Secret reveal={() => productSecret(product.productSN)} />],
          ]}
        />
      </Paper>
      <Paper withBorder p="md">
        <Facts
          of={[
            [t.dynamicRegister, yes(product.dynamicRegister)],
            [t.preRegister, product.dynamicRegister && yes(product.preRegister)],
            [t.shadow, yes(product.shadow)],
            [t.created, <Time at={product.createdAt} exact />],
            [t.updated, <Time at={product.updatedAt} exact />],
            [t.revision, product.revision],
          ]}
        />
      </Paper>
    </SimpleGrid>
  );
}
